import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe } from 'node:test';
import type { BlobDriver } from '../../storage/blobs/driver.ts';
import { describeCommits } from './blob-commits.ts';
import { describeObjects } from './blob-objects.ts';
import { describeReading } from './blob-reading.ts';
import { describeStages } from './blob-stages.ts';

/** A store of its own for one test. */
export interface StoreUnderTest extends AsyncDisposable {
  /** Another driver on the same store, as another process would have it. */
  open(): Promise<BlobDriver>;
  /** What this process holds open of the store: descriptors, connections. */
  held(): Promise<readonly string[]>;
}

/** What a test may ask for. */
export interface DriverUnderTest {
  /** The driver of the test that runs. */
  readonly driver: () => BlobDriver;
  /** Another driver on its store. */
  readonly another: () => Promise<BlobDriver>;
}

/**
 * Executes what `storage/blobs/driver.ts` promises; every test gets a new store.
 *
 * @param describeMore what not every driver can
 */
export function describeBlobDriver(
  name: string,
  openStore: () => Promise<StoreUnderTest>,
  describeMore?: (underTest: DriverUnderTest) => void,
): void {
  describe(`blob driver: ${name}`, () => {
    let store: StoreUnderTest;
    let drivers: BlobDriver[];
    const open = async () => {
      const driver = await store.open();
      drivers.push(driver);
      return driver;
    };
    const underTest = { driver: () => first(drivers), another: open };

    beforeEach(async () => {
      drivers = [];
      store = await openStore();
      await open();
    });
    afterEach(async () => {
      const held = await store.held();
      for (const driver of drivers) await driver.close();
      await store[Symbol.asyncDispose]();
      assert.deepEqual(held, [], 'a test left something open');
    });

    describeObjects(underTest);
    describeReading(underTest);
    describeStages(underTest);
    describeCommits(underTest);
    describeMore?.(underTest);
  });
}

function first(drivers: readonly BlobDriver[]): BlobDriver {
  const [driver] = drivers;
  if (driver === undefined) throw new Error('no driver is open');
  return driver;
}
