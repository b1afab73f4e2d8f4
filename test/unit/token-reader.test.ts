import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createFleetingKeys } from '../../server/auth/signing-keys.ts';
import { TokenReader } from '../../server/auth/token-reader.ts';
import { Tokens } from '../../server/auth/tokens.ts';

const now = Date.now;

/** A reader, and a token that was made from the access token 1, of which this process has not heard. */
async function readerWithToken(whenLooked: () => void) {
  const tokens = new Tokens({ keys: createFleetingKeys(now()), service: 'entrepot', lifetimeMs: 60_000, now });
  let looks = 0;
  const known = new Set<string>();
  const reader = new TokenReader({
    tokens,
    standing: (via, user) => (known.has(via) && user !== undefined ? { caller: { user, groups: [] } } : undefined),
    look: async () => {
      looks += 1;
      whenLooked();
    },
    generations: { peek: () => undefined, read: async () => undefined },
    now,
  });
  const { token } = await tokens.sign({ user: 'ci', access: [], id: 'an-id', via: 'token:1' });
  return { reader, token, known, looks: () => looks };
}

test('a token that was made from what another process has just made is good at once', async () => {
  const opened = await readerWithToken(() => opened.known.add('token:1'));
  assert.equal((await opened.reader.read(opened.token))?.caller.user, 'ci');
  assert.equal((await opened.reader.read(opened.token))?.caller.user, 'ci');
  assert.equal(opened.looks(), 1);
});

test('one that was made from what is gone stays refused after a look', async () => {
  const { reader, token, looks } = await readerWithToken(() => {});
  assert.equal(await reader.read(token), undefined);
  assert.equal(looks(), 1);
});
