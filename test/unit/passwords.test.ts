import assert from 'node:assert/strict';
import { setImmediate as turn } from 'node:timers/promises';
import { describe, it, test } from 'node:test';
import bcrypt from 'bcrypt';
import { parseBasic } from '../../server/auth/basic-credentials.ts';
import { Passwords, type PasswordsParts } from '../../server/auth/passwords.ts';
import { Slowdown } from '../../server/auth/slowdown.ts';

const basic = (text: string) => `Basic ${Buffer.from(text).toString('base64')}`;

const HASH = '$2b$04$alice';

/** Passwords of alice, whose password is `right`, with a clock and without bcrypt. */
function setUp(more: Partial<PasswordsParts> = {}) {
  const state = { now: 1_000_000, checks: 0, waited: [] as number[], hash: HASH };
  const passwords = new Passwords({
    accounts: () => new Map([['alice', state.hash]]),
    now: () => state.now,
    wait: async (ms) => void state.waited.push(ms),
    compare: async (password, hash) => {
      state.checks += 1;
      await turn();
      return password === 'right' && hash === state.hash;
    },
    ...more,
  });
  return { passwords, state };
}

async function refusedOf(guesses: readonly Promise<boolean>[]): Promise<PromiseSettledResult<boolean>[]> {
  return (await Promise.allSettled(guesses)).filter(({ status }) => status === 'rejected');
}

describe('passwords', () => {
  it('are checked once in five minutes, and anew when the account has another', async () => {
    const { passwords, state } = setUp();
    assert.equal(await passwords.check('alice', 'right', 'a'), true);
    state.now += 299_000;
    assert.equal(await passwords.check('alice', 'right', 'b'), true);
    assert.equal(state.checks, 1);
    state.now += 2_000;
    assert.equal(await passwords.check('alice', 'right', 'a'), true);
    assert.equal(state.checks, 2);
    state.hash = '$2b$04$another';
    assert.equal(await passwords.check('alice', 'right', 'a'), true);
    assert.equal(state.checks, 3);
  });

  it('that come many times at once are checked once', async () => {
    const { passwords, state } = setUp();
    const answers = await Promise.all(Array.from({ length: 50 }, () => passwords.check('alice', 'right', 'a')));
    assert.ok(answers.every(Boolean));
    assert.equal(state.checks, 1);
  });

  it('are wrong for users that are not there, after as many checks', async () => {
    const { passwords, state } = setUp();
    assert.equal(await passwords.check('nobody', 'right', 'a'), false);
    assert.equal(await passwords.check('alice', 'wrong', 'a'), false);
    assert.equal(state.checks, 2);
  });

  it('are wrong when bcrypt would cut them', async () => {
    const long = `${'x'.repeat(72)}tail`;
    const hash = await bcrypt.hash(long, 4);
    const passwords = new Passwords({ accounts: () => new Map([['alice', hash]]) });
    assert.equal(await bcrypt.compare('x'.repeat(72), hash), true, 'bcrypt itself cuts');
    assert.equal(await passwords.check('alice', long, 'a'), false);
    assert.equal(await passwords.check('alice', 'x'.repeat(72), 'a'), true);
  });

  it('that are guessed wait longer and longer; the right one that was seen before does not', async () => {
    const { passwords, state } = setUp();
    await passwords.check('alice', 'right', 'home');
    for (let i = 0; i < 12; i++) await passwords.check('alice', `guess ${i}`, 'elsewhere');
    assert.deepEqual(state.waited, [100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000]);
    const before = state.waited.length;
    assert.equal(await passwords.check('alice', 'right', 'home'), true);
    assert.equal(state.waited.length, before);
    await passwords.check('bob', 'x', 'elsewhere');
    assert.equal(state.waited.length, before + 1, 'the address is remembered as well');
    state.now += 300_001;
    await passwords.check('alice', 'guess', 'elsewhere');
    assert.equal(state.waited.length, before + 1, 'and forgotten after five minutes');
  });

  it('that are guessed at once wait as well', async () => {
    const { passwords, state } = setUp();
    await Promise.all(Array.from({ length: 8 }, (_, i) => passwords.check('alice', `guess ${i}`, `address ${i}`)));
    assert.deepEqual(state.waited, [100, 200, 400, 800, 1600]);
  });

  it('of one account are guessed at ten at a time from an address, which keeps nobody else out', async () => {
    const { passwords } = setUp();
    const guess = (i: number, address: string) => passwords.check('alice', `guess ${i}`, address);
    const guesses = Array.from({ length: 30 }, (_, i) => guess(i, '192.0.2.1'));
    const right = passwords.check('alice', 'right', '192.0.2.2');
    const refused = await refusedOf(guesses);
    assert.equal(refused.length, 20);
    for (const each of refused) assert.equal((each as PromiseRejectedResult).reason.code, 'TOOMANYREQUESTS');
    assert.equal(await right, true);
    // An IPv6 client has a whole network.
    assert.equal((await refusedOf(Array.from({ length: 30 }, (_, i) => guess(i, `2001:db8::${i}`)))).length, 20);
    assert.equal((await refusedOf(Array.from({ length: 90 }, (_, i) => guess(i, `192.0.3.${i}`)))).length, 30);
    assert.equal(await passwords.check('alice', 'guess', 'later'), false);
  });

  it('of nobody cost what some account costs, the same for the same name', async () => {
    const costs: string[] = [];
    const { passwords } = setUp({
      accounts: () => new Map(['04', '07'].map((cost) => [`user ${cost}`, `$2b$${cost}$${'x'.repeat(53)}`])),
      compare: async (_password, hash) => {
        costs.push(hash.slice(4, 6));
        return false;
      },
    });
    for (let i = 0; i < 40; i++) await passwords.check(`nobody ${i}`, 'x', `address ${i}`);
    for (let i = 0; i < 40; i++) await passwords.check(`nobody ${i}`, 'y', `address ${i}`);
    assert.deepEqual(costs.slice(40), costs.slice(0, 40));
    assert.deepEqual([...new Set(costs)].sort(), ['04', '07']);
  });

  it('of an address that knows one of them may be right or wrong: only the wrong ones count', async () => {
    const { passwords, state } = setUp();
    for (let i = 0; i < 8; i++) {
      await passwords.check('alice', 'right', 'office');
      state.now += 299_000;
      await passwords.check('alice', 'right', 'office');
      state.now += 2_000;
    }
    assert.deepEqual(state.waited, []);
  });

  it('of nobody cost what those of the accounts cost', async () => {
    const hashes: string[] = [];
    const { passwords } = setUp({
      accounts: () => new Map([['alice', `$2b$07$${'x'.repeat(53)}`]]),
      compare: async (_password, hash) => {
        hashes.push(hash);
        return false;
      },
    });
    await passwords.check('nobody', 'x', 'a');
    assert.match(hashes[0] ?? '', /^\$2b\$07\$[./A-Za-z0-9]{53}$/);
  });

  it('are checked four at a time, and refused when too many wait', async () => {
    let running = 0;
    let most = 0;
    const { passwords } = setUp({
      compare: async () => {
        most = Math.max(most, ++running);
        await turn();
        running -= 1;
        return false;
      },
    });
    const checks = Array.from({ length: 250 }, (_, i) => passwords.check(`user ${i}`, 'x', `address ${i}`));
    const settled = await Promise.allSettled(checks);
    assert.equal(most, 4);
    const refused = settled.filter(({ status }) => status === 'rejected');
    assert.ok(refused.length > 0 && refused.length < 50, `${refused.length} refused`);
    for (const each of refused) assert.equal((each as PromiseRejectedResult).reason.code, 'TOOMANYREQUESTS');
    assert.equal(await passwords.check('user 1', 'x', 'later'), false, 'and it goes on after that');
  });
});

test('what slows guesses down does not grow without end', () => {
  const slowdown = new Slowdown(() => 0);
  for (let i = 0; i < 5; i++) slowdown.count(['first']);
  assert.equal(slowdown.delayMs(['first']), 400);
  for (let i = 0; i < 10_000; i++) slowdown.count([`name ${i}`]);
  assert.equal(slowdown.delayMs(['first']), 0);
});

test('Basic credentials are read as RFC 7617 has them, and refused with a reason otherwise', () => {
  assert.deepEqual(parseBasic(basic('alice:s:e:c')), { user: 'alice', password: 's:e:c' });
  assert.deepEqual(parseBasic(basic('älice:pässword ✓')), { user: 'älice', password: 'pässword ✓' });
  assert.deepEqual(parseBasic(basic('alice:').toLowerCase().replace(/ .*/, ' YWxpY2U6')), {
    user: 'alice',
    password: '',
  });
  const bad = [
    '',
    'Basic',
    'Basic ',
    'Bearer abc',
    'Basic !!!!',
    basic('alice'),
    basic(':x'),
    `Basic ${'A'.repeat(9000)}`,
  ];
  for (const header of bad) assert.equal(typeof parseBasic(header), 'string', header.slice(0, 30));
});
