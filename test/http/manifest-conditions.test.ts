import assert from 'node:assert/strict';
import { it } from 'node:test';
import { digestOf, imageManifest, NOWHERE, pushBlob, pushImage, putManifest, tagsOf } from './content.ts';
import { assertRefused } from './refusal.ts';
import { describeOnDrivers } from './suite.ts';

describeOnDrivers('conditions on reading manifests', (setup) => {
  it('If-None-Match gives 304 by tag and by digest', async () => {
    const image = await pushImage(setup.client, 'conditions', 'v1');
    for (const reference of ['v1', image.digest]) {
      for (const value of [`"${image.digest}"`, `W/"${image.digest}"`, '*', `"x", "${image.digest}"`]) {
        const answer = await setup.client.get(`/v2/conditions/manifests/${reference}`, { 'If-None-Match': value });
        assert.equal(answer.status, 304, value);
        assert.equal(answer.bytes.length, 0);
        assert.equal(answer.header('ETag'), `"${image.digest}"`);
        assert.equal(answer.header('Docker-Content-Digest'), image.digest);
        assert.ok(answer.header('Cache-Control') !== '');
      }
      const changed = await setup.client.get(`/v2/conditions/manifests/${reference}`, {
        'If-None-Match': `"${NOWHERE}"`,
      });
      assert.equal(changed.text, image.manifest);
    }
  });
});

describeOnDrivers('conditions on changing manifests', (setup) => {
  it('If-None-Match: * lets a tag be made and not moved', async () => {
    const name = 'make-only';
    const image = await pushImage(setup.client, name, 'base');
    const condition = { 'If-None-Match': '*' };
    assert.equal((await putManifest(setup.client, name, 'new', image.manifest, condition)).status, 201);
    const { detail } = assertRefused(
      await putManifest(setup.client, name, 'new', image.manifest, condition),
      412,
      'DENIED',
    );
    assert.equal(detail['current'], image.digest);
    assertRefused(await putManifest(setup.client, name, image.digest, image.manifest, condition), 412, 'DENIED');
  });

  it('If-Match lets a tag be moved only from where the client saw it', async () => {
    const name = 'move-only';
    const [one, two] = [
      await pushImage(setup.client, name, 'v', 'one'),
      await pushImage(setup.client, name, 'other', 'two'),
    ];
    const stale = await putManifest(setup.client, name, 'v', two.manifest, { 'If-Match': `"${two.digest}"` });
    assert.equal(assertRefused(stale, 412, 'DENIED').detail['current'], one.digest);
    assert.equal((await setup.client.get(`/v2/${name}/manifests/v`)).text, one.manifest);
    const fresh = await putManifest(setup.client, name, 'v', two.manifest, { 'If-Match': `"x", "${one.digest}"` });
    assert.equal(fresh.status, 201);
    assert.equal((await setup.client.get(`/v2/${name}/manifests/v`)).text, two.manifest);
    const absent = await putManifest(setup.client, name, 'absent', two.manifest, { 'If-Match': '*' });
    assert.equal(assertRefused(absent, 412, 'DENIED', /no such/).detail['current'], null);
  });

  it('a refused condition leaves no manifest behind', async () => {
    const name = 'leaves-nothing';
    await pushImage(setup.client, name, 'v');
    await pushBlob(setup.client, name, '{}');
    const manifest = imageManifest('{}', []);
    assertRefused(await putManifest(setup.client, name, 'v', manifest, { 'If-None-Match': '*' }), 412, 'DENIED');
    assertRefused(await setup.client.get(`/v2/${name}/manifests/${digestOf(manifest)}`), 404, 'MANIFEST_UNKNOWN');
  });

  it('hold for every tag of a push by digest, or none of them moves', async () => {
    const name = 'many-tags';
    const [old, image] = [await pushImage(setup.client, name, 'taken'), await pushImage(setup.client, name, 'image')];
    const put = (query: string, condition: Record<string, string>) =>
      putManifest(setup.client, name, `${image.digest}?${query}`, image.manifest, condition);
    const making = await put('tag=free&tag=taken', { 'If-None-Match': '*' });
    assert.equal(assertRefused(making, 412, 'DENIED').detail['current'], old.digest);
    const moving = await put('tag=taken&tag=free', { 'If-Match': `"${old.digest}"` });
    assert.equal(assertRefused(moving, 412, 'DENIED').detail['current'], null);
    assert.deepEqual(await tagsOf(setup.client, name), ['image', 'taken']);
    assert.equal((await setup.client.get(`/v2/${name}/manifests/taken`)).text, old.manifest);
    assert.equal((await put('tag=free&tag=new', { 'If-None-Match': '*' })).status, 201);
  });

  it('hold for deletions as well', async () => {
    const name = 'delete-only';
    const image = await pushImage(setup.client, name, 'v');
    for (const reference of ['v', image.digest]) {
      const answer = await setup.client.delete(`/v2/${name}/manifests/${reference}`, { 'If-Match': `"${NOWHERE}"` });
      assert.equal(assertRefused(answer, 412, 'DENIED').detail['current'], image.digest);
    }
    const matching = { 'If-Match': `"${image.digest}"` };
    assert.equal((await setup.client.delete(`/v2/${name}/manifests/v`, matching)).status, 202);
    assert.equal((await setup.client.delete(`/v2/${name}/manifests/${image.digest}`, matching)).status, 202);
  });

  it('of racing conditional moves exactly one wins', async () => {
    const name = 'race';
    const start = await pushImage(setup.client, name, 'v', 'start');
    const images = await Promise.all(Array.from({ length: 8 }, (_, i) => pushImage(setup.client, name, `t${i}`)));
    const condition = { 'If-Match': `"${start.digest}"` };
    const answers = await Promise.all(
      images.map((image) => putManifest(setup.client, name, 'v', image.manifest, condition)),
    );
    const winners = images.filter((_, i) => answers[i]?.status === 201);
    assert.equal(winners.length, 1);
    assert.equal((await setup.client.get(`/v2/${name}/manifests/v`)).text, winners[0]?.manifest);
    for (const answer of answers.filter(({ status }) => status !== 201)) {
      assert.equal(assertRefused(answer, 412, 'DENIED').detail['current'], winners[0]?.digest);
    }
  });

  it('of racing conditional creations exactly one wins', async () => {
    const name = 'race-to-make';
    const images = await Promise.all(Array.from({ length: 8 }, (_, i) => pushImage(setup.client, name, `t${i}`)));
    const condition = { 'If-None-Match': '*' };
    const answers = await Promise.all(
      images.map((image) => putManifest(setup.client, name, 'v', image.manifest, condition)),
    );
    assert.equal(answers.filter(({ status }) => status === 201).length, 1);
    assert.equal(answers.filter(({ status }) => status === 412).length, 7);
  });
});
