import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CopyWays, type CopyWay } from '../../storage/blobs/s3/copy-ways.ts';

const GIB = 1024 ** 3;

/** The ways of so many copies of a gibibyte with a server that takes so long for each. */
function chosen(seconds: Readonly<Record<CopyWay, number>>, copies: number): readonly CopyWay[] {
  const ways = new CopyWays();
  return Array.from({ length: copies }, () => {
    const way = ways.choose();
    ways.learn(way, GIB, seconds[way] * 1000);
    return way;
  });
}

function share(ways: readonly CopyWay[], way: CopyWay): number {
  return ways.filter((each) => each === way).length / ways.length;
}

describe('the way in which objects are copied', () => {
  it('is by one request for ever where the server copies by reference', () => {
    assert.equal(share(chosen({ whole: 0.24, pieces: 3.2 }, 200), 'whole'), 1);
  });

  it('is the faster one after both were tried', () => {
    const piecemeal = chosen({ whole: 10, pieces: 2 }, 200);
    assert.deepEqual(piecemeal.slice(0, 3), ['whole', 'pieces', 'pieces']);
    assert.ok(share(piecemeal, 'pieces') > 0.95);
    assert.ok(share(chosen({ whole: 2, pieces: 3 }, 200), 'whole') > 0.95);
  });

  it('changes when the other one has become the faster one', () => {
    const ways = new CopyWays();
    ways.learn('whole', GIB, 9000);
    ways.learn('pieces', GIB, 3000);
    for (let copied = 0; copied < 100; copied += 1) {
      const way = ways.choose();
      ways.learn(way, GIB, way === 'whole' ? 1000 : 3000);
    }
    assert.equal(ways.choose(), 'whole');
  });

  it('does not fail on a copy that took no time', () => {
    const ways = new CopyWays();
    ways.learn('whole', GIB, 0);
    assert.equal(ways.choose(), 'whole');
  });
});
