import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hideLineSecrets, hideTargetSecrets, hideTokens } from '../../server/observe/secrets.ts';

const JWT = 'eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl';
const ACCESS_TOKEN = `entrepot_at_${'a'.repeat(43)}`;

test('tokens are hidden wherever they stand', () => {
  for (const token of [JWT, ACCESS_TOKEN, `entrepot_rt_${'b'.repeat(43)}`]) {
    for (const text of [token, `user ${token}!`, `"${token}"`, `a=${token}&b`, `/v2/${token}/x`]) {
      assert.ok(!hideTokens(text).includes(token.slice(-20)), text);
      assert.ok(!hideLineSecrets(`{"x":"${text.replaceAll('"', '')}"}`).includes(token.slice(-20)), text);
      assert.ok(!hideTargetSecrets(text).includes(token.slice(-20)), text);
    }
  }
  for (const text of ['', 'eyJ', 'a eyJabc def', 'entrepot_http_requests_total', 'entrepot is here']) {
    assert.equal(hideTokens(text), text);
  }
});

test('a text that was made to be looked at in many ways is looked at once', () => {
  for (const text of [
    'eyJ'.repeat(30_000),
    'eyJ-'.repeat(20_000),
    'eyJaaaaaaaa.'.repeat(8_000),
    'entrepot_at_'.repeat(8_000),
  ]) {
    const before = process.cpuUsage();
    hideTokens(text);
    const { user } = process.cpuUsage(before);
    // Seconds, if it were begun anew at each of these.
    assert.ok(user < 500_000, `${user} us for ${text.slice(0, 12)}`);
  }
});
