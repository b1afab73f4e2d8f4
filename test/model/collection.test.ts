import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { collectionModel, OURS, type Clauses } from './collection.ts';
import { explore } from './explore.ts';

describe('the protocol of the garbage collection', () => {
  for (const mounts of [false, true]) {
    it(`breaks no image in any order of steps${mounts ? ', with mounts' : ''}`, (context) => {
      const { states, counterexample } = explore(collectionModel(OURS, { mounts }));
      context.diagnostic(`${states} states`);
      assert.equal(counterexample, undefined, JSON.stringify(counterexample, null, 2));
      assert.ok(states > 1_000, `only ${states} states`);
    });
  }

  // Of two in a line either is enough on one machine.
  const needed: readonly (readonly (keyof Clauses)[])[] = [
    ['claims', 'checksAgain'],
    ['waitsForDeletion'],
    ['respectsIntents'],
    ['unlinksAtOnce'],
    ['pendingReferences'],
    ['knowsTheTree', 'comparisonWaits'],
  ];

  it('has no clause that is not looked at', () => {
    assert.deepEqual(needed.flat().toSorted(), Object.keys(OURS).toSorted());
  });

  for (const clauses of needed) {
    it(`breaks one without ${clauses.join(' and ')}`, (context) => {
      const off = Object.fromEntries(clauses.map((clause) => [clause, false]));
      const found = [false, true].flatMap((mounts) => {
        const { counterexample } = explore(collectionModel({ ...OURS, ...off }, { mounts }));
        return counterexample === undefined ? [] : [counterexample];
      });
      const [first] = found;
      assert.ok(first !== undefined, 'the clause is not needed, or the model does not see what it is for');
      context.diagnostic(`${first.wrong}: ${first.steps.join('; ')}`);
    });
  }
});
