import assert from 'node:assert/strict';
import { rename, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, it } from 'node:test';
import { openHtpasswdFile } from '../../server/auth/htpasswd-file.ts';
import { parseHtpasswd } from '../../server/auth/htpasswd.ts';
import { temporaryDirectory } from '../harness/process.ts';

const HASH = 'N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy';

describe('an htpasswd file', () => {
  it('has a user and a bcrypt hash a line, however Apache marks them', () => {
    const text = `# people\n\nalice:$2y$10$${HASH}\r\n  bob:$2a$05$${HASH}\n`;
    const accounts = parseHtpasswd(text, 'users');
    assert.deepEqual(
      [...accounts],
      [
        ['alice', `$2b$10$${HASH}`],
        ['bob', `$2b$05$${HASH}`],
      ],
    );
    assert.equal(parseHtpasswd('', 'users').size, 0);
  });

  it('is refused with the line and what to do, without showing what stands there', () => {
    const refused: [string, RegExp][] = [
      ['alice', /^users:1: a line is user:hash: write it with "htpasswd -B FILE USER"$/],
      [':$2y$10$x', /^users:1: a line is user:hash/],
      ['alice:$apr1$secret$secret', /^users:1: the hash is not bcrypt's: set the password again with "htpasswd -B/],
      ['alice:{SHA}c2VjcmV0', /not bcrypt's/],
      ['alice:secret', /not bcrypt's/],
      [`alice:$2y$10$${HASH}x`, /not bcrypt's/],
      [`alice:$2y$31$${HASH}`, /^users:1: the cost of the hash is 31: use 4 to 16/],
      [`alice:$2y$03$${HASH}`, /the cost of the hash is 3/],
      [`alice:$2y$10$${HASH}\nalice:$2y$10$${HASH}`, /^users:2: this user is there a second time/],
      [`${'x'.repeat(256)}:$2y$10$${HASH}`, /^users:1: a user has at most 255 characters/],
    ];
    for (const [text, message] of refused) {
      assert.throws(() => parseHtpasswd(text, 'users'), { name: 'HtpasswdError', message }, text.slice(0, 30));
      assert.throws(
        () => parseHtpasswd(text, 'users'),
        (error: Error) => !error.message.includes('secret'),
      );
    }
  });

  it('is read again when it changes, and kept when it cannot be used', async () => {
    await using directory = await temporaryDirectory();
    const file = path.join(directory.path, 'users');
    await writeFile(file, `alice:$2y$10$${HASH}\n`);
    const faults: string[] = [];
    const opened = await openHtpasswdFile({ file, onFault: (error) => faults.push(String(error)), intervalMs: 1e9 });
    const users = async () => {
      await opened.check();
      return [...opened.value.keys()];
    };
    assert.deepEqual(await users(), ['alice']);
    await writeFile(file, `alice:$2y$10$${HASH}\nbob:$2y$10$${HASH}\n`);
    assert.deepEqual(await users(), ['alice', 'bob']);
    await writeFile(file, 'bob:oops\n');
    assert.deepEqual(await users(), ['alice', 'bob']);
    assert.deepEqual(await users(), ['alice', 'bob']);
    assert.equal(faults.length, 1, faults.join());
    const next = path.join(directory.path, 'next');
    await writeFile(next, `carol:$2y$10$${HASH}\n`);
    await rename(next, file);
    assert.deepEqual(await users(), ['carol']);
    opened.close();
  });

  it('that is not there is an error that names it', async () => {
    const options = { file: '/nowhere/users', onFault: () => {} };
    const message = '/nowhere/users cannot be read (ENOENT): access.htpasswd names a file that this user may read';
    await assert.rejects(openHtpasswdFile(options), { name: 'HtpasswdError', message });
  });
});
