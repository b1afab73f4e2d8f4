import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Watched } from '../../server/watched.ts';

test('who knows that something has changed sees it, also while it is being looked at', async () => {
  const source = { version: 1 };
  const gate = Promise.withResolvers<void>();
  let isHeld = false;
  const watched = await Watched.open({
    identity: async () => String(source.version),
    load: async () => {
      const seen = source.version;
      if (isHeld) await gate.promise;
      return seen;
    },
    onFault: () => assert.fail('no fault'),
    intervalMs: 1e9,
  });
  source.version = 2;
  isHeld = true;
  const looking = watched.check();
  source.version = 3;
  const anew = watched.checkAnew();
  isHeld = false;
  gate.resolve();
  await Promise.all([looking, anew]);
  assert.equal(watched.value, 3);
  watched.close();
});
