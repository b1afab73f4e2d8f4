import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { runOfficialSuite } from '../conformance/official-suite.ts';
import { conformanceProgram } from '../conformance/program.ts';
import { verifyReport, WITH_SPARSE } from '../conformance/verify-report.ts';
import { missingForReplicas, Replicas } from '../scale/replicas.ts';

const suite = await conformanceProgram();
const skip = 'missing' in suite ? suite.missing : missingForReplicas;

describe('the official suite against three servers that take turns', { skip }, () => {
  it('passes', async (t) => {
    if ('missing' in suite) throw new Error(suite.missing);
    await using replicas = await Replicas.start({ env: { ENTREPOT_MANIFESTS_ALLOW_SPARSE_IMAGES: 'true' } });
    const report = await runOfficialSuite(suite.program, replicas.host, { sparse: true });
    const { served } = replicas.balancer;
    t.diagnostic(`requests to each server: ${served.join(', ')}`);
    assert.ok(Math.min(...served) > 300, 'a server that had nothing to do');
    await verifyReport(t, report, WITH_SPARSE);
    for (const member of replicas.members) assert.equal(await member.stop(), 0, member.output().slice(-2000));
  });
});
