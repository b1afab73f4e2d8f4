import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { missingTools } from '../clients/tools.ts';
import { Client } from './client.ts';
import { Ledger } from './ledger.ts';
import { startPlain, startShimmed } from './shimmed-server.ts';
import { IS_DISTRIBUTION } from './subject.ts';
import { pull, push, trialImage } from './trial.ts';
import { findings } from './verdict.ts';
import { verifyRegistry } from './verify.ts';
import { TreeVerifier } from './verify-tree.ts';

const PUSHES = 10;

const isLinux = process.platform === 'linux';
const obstacle = isLinux ? missingTools('cc') : 'LD_PRELOAD is for Linux';
const skip = IS_DISTRIBUTION ? 'not its promise' : obstacle;

describe('writes that take half of what they are given', { skip }, () => {
  it('make pushes slower and nothing wrong', async (t) => {
    await using shimmed = await startShimmed();
    const { client, shim, server, root } = shimmed;
    const ledger = new Ledger();
    await shim.arm({ mode: 'fall short', kinds: ['write'] });
    for (let at = 0; at < PUSHES; at++) {
      const image = trialImage(`short ${at}`, 300_000);
      const repository = `short/n${at}`;
      await push({ client, ledger, repository }, image);
      await pull(client, repository, image);
    }
    const { hits } = await shim.look();
    await shim.disarm();
    assert.ok(hits > PUSHES * 10, `only ${hits} writes were short`);
    await server.kill();
    assert.deepEqual(findings(await new TreeVerifier(root).verify('all')), []);
    await using plain = await startPlain(root);
    using again = new Client(plain.url);
    assert.deepEqual(findings(await verifyRegistry(again, ledger, 'all')), []);
    t.diagnostic(`${PUSHES} pushes over ${hits} short writes, ${ledger.acknowledged} acknowledged, 0 lost, 0 wrong`);
  });
});
