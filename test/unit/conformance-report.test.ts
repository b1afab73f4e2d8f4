import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseRows } from '../conformance/junit.ts';
import { allSwitches, switchesOff } from '../conformance/switches.ts';

const REPORT = `<testsuites time="4.5" tests="3" failures="1" skipped="1">
  <testsuite name="Suite" tests="3">
    <properties><property name="Config" value="registry: &#34;x&#34;&#xA;"></property></properties>
    <testcase name="Suite/ping" classname="" time="0.01" status="passed"></testcase>
    <testcase name="Suite/a &amp; b" classname="" status="failure">
      <system-out>wanted &#34;x&#34; &lt;y&gt;</system-out>
      <system-err>GET /v2/&#xA;404</system-err>
    </testcase>
    <testcase name="Suite/last" classname="" status="skipped"/>
  </testsuite>
</testsuites>`;

describe('the report of the conformance suite', () => {
  it('is read row by row', () => {
    assert.deepEqual(parseRows(REPORT), [
      { name: 'Suite/ping', status: 'passed', message: '', log: '' },
      { name: 'Suite/a & b', status: 'failure', message: 'wanted "x" <y>', log: 'GET /v2/\n404' },
      { name: 'Suite/last', status: 'skipped', message: '', log: '' },
    ]);
  });

  it('names the switches that were off', () => {
    const config = { apis: { pull: true, tags: { list: false, delete: true } }, data: { sparse: false, tags: [] } };
    assert.deepEqual(switchesOff(config), ['apis.tags.list', 'data.sparse']);
    assert.deepEqual(switchesOff({ apis: { pull: true } }), []);
  });

  it('comes from a run with everything on but sparse manifests where they are not wanted', () => {
    assert.equal(allSwitches(false)['OCI_DATA_SPARSE'], 'false');
    assert.equal(Object.values(allSwitches(false)).filter((value) => value !== 'true').length, 1);
    assert.deepEqual([...new Set(Object.values(allSwitches(true)))], ['true']);
  });
});
