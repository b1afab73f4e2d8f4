import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Buckets } from '../../server/limits/buckets.ts';
import { CountSums, parseCounts } from '../../server/limits/count-sums.ts';
import { ReplicaCounts, TOLD_MOST } from '../../server/limits/replica-counts.ts';
import type { Counts } from '../../server/limits/shared-counts.ts';
import { openSqliteMetadata, type Metadata } from '../../storage/metadata/metadata.ts';
import { temporaryDirectory } from '../harness/process.ts';

const RATE = { count: 10, periodMs: 10_000 };

/** Servers on one database, at one clock. */
class Fleet {
  now = 0;
  readonly metadata: Metadata;

  constructor(metadata: Metadata) {
    this.metadata = metadata;
  }

  server(): Server {
    return new Server(this);
  }

  async tellings(): Promise<number> {
    const servers = [...(await this.metadata.counts.latest('')).keys()];
    const all = await Promise.all(servers.map((server) => this.metadata.counts.after(server, 0)));
    return all.flat().length;
  }
}

class Server {
  readonly spent: Counts[] = [];
  readonly buckets: Buckets;
  readonly counts: ReplicaCounts;
  isAway = false;

  constructor(fleet: Fleet) {
    const now = () => fleet.now;
    this.buckets = new Buckets(RATE, now);
    const { counts: records } = fleet.metadata;
    const asked = async <T>(ask: () => Promise<T>): Promise<T> => {
      if (this.isAway) throw new Error('away');
      return ask();
    };
    this.counts = new ReplicaCounts({
      records: {
        tell: (...told) => asked(() => records.tell(...told)),
        latest: (except) => asked(() => records.latest(except)),
        after: (...behind) => asked(() => records.after(...behind)),
        forget: (...upTo) => asked(() => records.forget(...upTo)),
      },
      spend: (counts) => {
        this.spent.push(counts);
        for (const [key, count] of counts.address ?? []) this.buckets.spend(key, count);
      },
      now,
    });
  }

  /** Takes what it gets of so many. */
  ask(times: number, key = 'a'): number {
    let passed = 0;
    for (let time = 0; time < times; time++) {
      if (this.buckets.take(key) > 0) continue;
      passed += 1;
      this.counts.add({ address: [[key, 1]] });
    }
    return passed;
  }
}

async function withFleet(work: (fleet: Fleet) => Promise<void>): Promise<void> {
  await using directory = await temporaryDirectory();
  const metadata = await openSqliteMetadata(`${directory.path}/index.db`);
  try {
    await work(new Fleet(metadata));
  } finally {
    await metadata.close();
  }
}

describe('servers that share a limit', () => {
  it('let no more pass together over time than it says, whoever is asked', () =>
    withFleet(async (fleet) => {
      const servers = [fleet.server(), fleet.server(), fleet.server()];
      for (const { counts } of servers) await counts.exchange();
      let passed = 0;
      const seconds = 200;
      for (let second = 0; second < seconds; second++) {
        // Both everybody at once, and one alone.
        for (const [index, server] of servers.entries()) {
          if (second < 100 || index === second % 3) passed += server.ask(20);
        }
        for (const { counts } of servers) await counts.exchange();
        fleet.now += 1_000;
      }
      const allowed = RATE.count + (seconds * RATE.count * 1_000) / RATE.periodMs;
      const overshoot = 2 * RATE.count;
      assert.ok(passed <= allowed + overshoot, `${passed} passed, ${allowed} may`);
      assert.ok(passed >= allowed - RATE.count, `${passed} passed, ${allowed} may`);
    }));

  it('hear each telling once, also of what becomes there later, and nothing of their own', () =>
    withFleet(async (fleet) => {
      const [one, other] = [fleet.server(), fleet.server()];
      await one.counts.exchange();
      await other.counts.exchange();
      one.ask(2);
      await one.counts.exchange();
      one.ask(1, 'b');
      await one.counts.exchange();
      for (let time = 0; time < 3; time++) await other.counts.exchange();
      assert.deepEqual(other.spent, [
        { address: [['a', 2]], account: [] },
        { address: [['b', 1]], account: [] },
      ]);
      assert.deepEqual(one.spent, []);
      // Another one than those that were seen.
      const third = fleet.server();
      await third.counts.exchange();
      assert.deepEqual(third.spent, [], 'what was before its time');
      third.ask(1, 'c');
      await third.counts.exchange();
      await other.counts.exchange();
      assert.deepEqual(other.spent[2], { address: [['c', 1]], account: [] });
    }));

  it('tell nothing when nothing passed, and remove what they told, in the end also that of one that is gone', () =>
    withFleet(async (fleet) => {
      const [one, other] = [fleet.server(), fleet.server()];
      const exchange = async () => {
        await one.counts.exchange();
        await other.counts.exchange();
      };
      await exchange();
      assert.equal(await fleet.tellings(), 0);
      for (let second = 0; second < 30; second++) {
        one.ask(1, `key ${second}`);
        other.ask(1, `other key ${second}`);
        await exchange();
        fleet.now += 1_000;
        assert.ok((await fleet.tellings()) <= 22);
      }
      assert.ok((await fleet.tellings()) > 0);
      for (let second = 0; second < 70; second++) {
        await other.counts.exchange();
        fleet.now += 1_000;
      }
      assert.equal(await fleet.tellings(), 0);
    }));

  it('go on alone while the database is away, and hold nothing against anybody afterwards', () =>
    withFleet(async (fleet) => {
      const [one, other] = [fleet.server(), fleet.server()];
      await one.counts.exchange();
      await other.counts.exchange();
      one.isAway = true;
      let passed = 0;
      for (let second = 0; second < 60; second++) {
        passed += one.ask(5);
        await assert.rejects(one.counts.exchange(), /away/);
        fleet.now += 1_000;
      }
      assert.equal(passed, RATE.count + 59);
      one.isAway = false;
      await one.counts.exchange();
      await other.counts.exchange();
      assert.deepEqual(other.spent, []);
      one.ask(1);
      await one.counts.exchange();
      await other.counts.exchange();
      assert.deepEqual(other.spent, [{ address: [['a', 1]], account: [] }]);
    }));

  it('tell of a flood of keys those with the most requests', () => {
    const sums = new CountSums(TOLD_MOST);
    sums.add({ account: [['busy', 7]] });
    for (let key = 0; key < 50_000; key++) sums.add({ address: [[`flood ${key}`, 1]] });
    sums.add({ address: [['flood 1500', 3]], account: [['busy', 1]] });
    const { address = [], account = [] } = sums.take() ?? {};
    assert.deepEqual([address.length, address[0], account], [TOLD_MOST, ['flood 1500', 4], [['busy', 8]]]);
    assert.equal(sums.take(), undefined);
  });

  it('take of what others wrote what they know, and no more', () => {
    const nothing = { address: [], account: [] };
    assert.deepEqual(parseCounts('{"address":[["a",2],["b",-1],["c"],7,["d",1.5],[3,3]],"more":[["e",1]]}'), {
      address: [['a', 2]],
      account: [],
    });
    assert.deepEqual(parseCounts('{"account":"x"}'), nothing);
    for (const text of ['', 'null', '{']) assert.equal(parseCounts(text), undefined, text);
  });
});
