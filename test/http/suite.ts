import assert from 'node:assert/strict';
import { after, before, describe } from 'node:test';
import { startService, type TestService, type TestServiceOptions } from '../harness/service.ts';
import { Client } from './client.ts';

/** What the tests of a suite share. Getters: there is nothing before the suite runs. */
export interface Setup {
  readonly client: Client;
  readonly service: TestService;
}

/** A suite with a service of its own. In the end the service must not have found itself at fault. */
export function describeService(title: string, options: TestServiceOptions, define: (setup: Setup) => void): void {
  describe(title, () => {
    let running: Setup | undefined;
    const setup = {
      get client() {
        return present(running).client;
      },
      get service() {
        return present(running).service;
      },
    };
    before(async () => {
      const service = await startService(options);
      running = { service, client: new Client(service.url) };
    });
    after(async () => {
      const { client, service } = present(running);
      client.close();
      await service[Symbol.asyncDispose]();
      assert.deepEqual(service.log.faults, []);
    });
    define(setup);
  });
}

/** The same suite on both drivers; on the one before the tree was compared with the index, on the other after it. */
export function describeOnDrivers(
  title: string,
  define: (setup: Setup) => void,
  options: TestServiceOptions = {},
): void {
  for (const driver of ['memory', 'filesystem'] as const) {
    describeService(`${title} (${driver})`, { ...options, driver, hasComparedTree: driver === 'filesystem' }, define);
  }
}

function present<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('used before the suite began');
  return value;
}
