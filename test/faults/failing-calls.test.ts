import { describe, it } from 'node:test';
import { missingTools } from '../clients/tools.ts';
import { Sweep } from './sweep.ts';
import { IS_DISTRIBUTION } from './subject.ts';
import { CHANGING } from './shim.ts';

const skip = process.platform === 'linux' ? missingTools('cc') : 'LD_PRELOAD is for Linux';

describe('a system call that fails during a push', { skip: (IS_DISTRIBUTION && 'not its promise') || skip }, () => {
  for (const error of ['EIO', 'ENOSPC'] as const) {
    it(`${error} once, at each call in turn: a clear answer, nothing lost, the next push goes through`, async (t) => {
      await using sweep = await Sweep.open(`${error} once`);
      await sweep.run({ mode: 'fail once', error, kinds: CHANGING });
      await sweep.verify();
      sweep.tell(t);
    });
  }

  it('EDQUOT once, at every fourth call', async (t) => {
    await using sweep = await Sweep.open('EDQUOT');
    await sweep.run({ mode: 'fail once', error: 'EDQUOT', kinds: CHANGING }, 4);
    await sweep.verify();
    sweep.tell(t);
  });

  it('EIO once, at each sync in turn, of a layer that is taken to the disk while it comes in', async (t) => {
    await using sweep = await Sweep.open('EIO of a large layer', 20 * 1024 * 1024);
    await sweep.run({ mode: 'fail once', error: 'EIO', kinds: ['sync'] });
    await sweep.verify();
    sweep.tell(t);
    // An early one, and the last.
    sweep.assertRefused('sync /docker/registry/v2/repositories/trial/<name>/_uploads/<id>/data', 2);
  });

  it('EMFILE once, at each open in turn', async (t) => {
    await using sweep = await Sweep.open('EMFILE');
    await sweep.run({ mode: 'fail once', error: 'EMFILE', kinds: ['create', 'open'] });
    await sweep.verify();
    sweep.tell(t);
  });

  for (const error of ['EIO', 'ENOSPC'] as const) {
    it(`${error} from every fourth call on: pulls go on, and pushes when it is over`, async (t) => {
      await using sweep = await Sweep.open(`${error} on`);
      await sweep.run({ mode: 'fail on', error, kinds: CHANGING }, 4);
      await sweep.verify();
      sweep.tell(t);
    });
  }
});
