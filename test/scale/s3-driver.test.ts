import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe } from 'node:test';
import type { BlobDriver, Key, ListEntry } from '../../storage/blobs/driver.ts';
import { openS3Driver } from '../../storage/blobs/s3.ts';
import { describeAddresses } from '../contracts/blob-addresses.ts';
import { describeBlobDriver } from '../contracts/blob-driver.ts';
import { describeDeferredCopies } from '../contracts/deferred-copies.ts';
import { radosgw, seaweedfs, versitygw, type S3Server } from './s3-servers.ts';

const FENCES = [
  ['without a fence', undefined],
  ['behind a fence', () => ({ leftMs: () => 60_000 })],
] as const;

for (const program of [versitygw, seaweedfs, radosgw]) {
  describe(`the S3 driver over ${program.name}`, { skip: program.missing }, () => {
    let server: S3Server;
    let stores = 0;
    before(async () => {
      server = await program.start();
    });
    after(async () => server[Symbol.asyncDispose]());

    for (const [name, fence] of FENCES) {
      const openStore = async () => {
        const prefix = `store-${stores++}/`;
        return {
          open: async () => withoutEmptyPrefixes(openS3Driver({ ...server.options, prefix }, fence)),
          held: async () => [],
          [Symbol.asyncDispose]: async () => undefined,
        };
      };
      describeBlobDriver(`${program.name}, ${name}`, openStore, describeAddresses);
    }

    describe('every copy deferred', () => {
      const drivers: BlobDriver[] = [];
      const another = async () => {
        const prefix = `store-${stores}/`;
        const driver = openS3Driver({ ...server.options, prefix, deferCopiesFromBytes: 1 }, FENCES[1][1]);
        drivers.push(driver);
        return driver;
      };
      beforeEach(async () => {
        stores += 1;
        await another();
      });
      afterEach(async () => {
        for (const driver of drivers.splice(0)) await driver.close();
      });
      describeDeferredCopies({ driver: () => drivers[0] ?? assert.fail(), another });
    });
  });
}

/** SeaweedFS goes on naming them for some seconds. */
function withoutEmptyPrefixes(driver: BlobDriver): BlobDriver {
  const list = async function* (prefix: Key): AsyncGenerator<ListEntry> {
    for await (const entry of driver.list(prefix)) {
      if (!entry.isPrefix || (await holdsAnything(driver, `${prefix}/${entry.name}` as Key))) yield entry;
    }
  };
  return new Proxy(driver, {
    get: (target, name) => {
      if (name === 'list') return list;
      const value: unknown = Reflect.get(target, name);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

async function holdsAnything(driver: BlobDriver, prefix: Key): Promise<boolean> {
  for await (const { name, isPrefix } of driver.list(prefix)) {
    if (!isPrefix || (await holdsAnything(driver, `${prefix}/${name}` as Key))) return true;
  }
  return false;
}
