import assert from 'node:assert/strict';
import { it } from 'node:test';
import { startService } from '../harness/service.ts';
import { Client, type Answer } from './client.ts';
import { bytesOf, digestOf, NOWHERE, pushBlob, pushImage, putManifest } from './content.ts';
import { assertHeadRefused, assertRefused } from './refusal.ts';
import { UnusableTables } from './unusable-tables.ts';

// Most questions are about the one or the other.
const TABLES = ['repository', 'state'];

/** A service whose index is a file that can be made unusable, and usable again. */
async function open() {
  const service = await startService();
  const client = new Client(service.url);
  const tables = new UnusableTables(service.root, 'index.db', TABLES);
  return {
    client,
    service,
    away: () => tables.away(),
    back: () => tables.back(),
    async [Symbol.asyncDispose]() {
      client.close();
      await service[Symbol.asyncDispose]();
    },
  };
}

function assertAway(answer: Answer): void {
  assertRefused(answer, 503, 'UNAVAILABLE');
  assert.ok(Number(answer.header('Retry-After')) > 0);
}

it('what was pulled is pulled on while the index cannot be asked, whatever else is refused and never called unknown', async () => {
  await using setup = await open();
  const { client, service } = setup;
  const image = await pushImage(client, 'team/app', 'v1');
  const other = await pushImage(client, 'team/app', 'v2');
  const large = bytesOf(3_000_000, 'large');
  const largeDigest = await pushBlob(client, 'team/app', large);
  const blobs = [...image.blobs, largeDigest].map((digest) => `/v2/team/app/blobs/${digest}`);
  const [byTag, byDigest] = [`/v2/team/app/manifests/v1`, `/v2/team/app/manifests/${image.digest}`];
  const paths = [byTag, byDigest, ...blobs];
  const before: [Answer, Answer][] = [];
  for (const target of paths) before.push([await client.get(target), await client.head(target)]);
  assert.equal(before[0]?.[0]?.headers['warning'], undefined);

  setup.away();
  for (const [number, target] of paths.entries()) {
    for (const [isHead, answer] of [await client.get(target), await client.head(target)].entries()) {
      const known = before[number]?.[isHead];
      assert.equal(answer.status, 200, `${target}: ${answer.text.slice(0, 300)}`);
      assert.ok(answer.bytes.equals(known?.bytes ?? Buffer.alloc(1)), target);
      for (const header of ['content-type', 'content-length', 'docker-content-digest', 'etag', 'cache-control']) {
        assert.equal(answer.headers[header], known?.headers[header], `${target}: ${header}`);
      }
      // A tag may point elsewhere by now; what has a digest is what it is.
      assert.equal(/^299 - ".*"$/.test(String(answer.headers['warning'])), target === byTag, target);
    }
  }
  assert.equal((await client.get(byTag, { 'If-None-Match': `"${image.digest}"` })).status, 304);
  assert.equal((await client.get(blobs.at(-1) ?? '', { Range: 'bytes=5-9' })).text, large.subarray(5, 10).toString());

  for (const target of ['manifests/v2', `manifests/${other.digest}`, `manifests/${NOWHERE}`, `blobs/${NOWHERE}`]) {
    assertAway(await client.get(`/v2/team/app/${target}`));
    assertHeadRefused(await client.head(`/v2/team/app/${target}`), 503);
  }
  assertAway(await client.get('/v2/nowhere/manifests/v1'));
  assertAway(await client.get('/v2/team/app/tags/list'));
  assertAway(await client.post(`/v2/team/app/blobs/uploads/?digest=${digestOf('new')}`, 'new'));
  assertAway(await client.post('/v2/team/app/blobs/uploads/'));
  assertAway(await putManifest(client, 'team/app', 'v1', other.manifest));
  assertAway(await client.delete(byTag));
  assert.equal((await client.get(byTag)).text, image.manifest);
  const metrics = await client.get('/metrics');
  assert.match(metrics.text, /^entrepot_answers_from_memory_total [1-9]/m);
  const said = () => service.log.lines.filter(({ message }) => /the index can(not)? be asked/.test(message));
  assert.equal(said().length, 1);

  setup.back();
  assert.equal((await putManifest(client, 'team/app', 'v1', other.manifest)).status, 201);
  const moved = await client.get(byTag);
  assert.equal(moved.text, other.manifest);
  assert.equal(moved.headers['warning'], undefined);
  assert.equal(said().length, 1);
});

it('a deletion holds at once: nothing is brought back by an index that cannot be asked', async () => {
  await using setup = await open();
  const { client } = setup;
  const [a, b] = [await pushImage(client, 'one', 'v1'), await pushImage(client, 'other', 'v1', 'another')];
  const spare = await pushBlob(client, 'one', 'needed by nobody');
  const paths = [
    `/v2/one/blobs/${spare}`,
    '/v2/one/manifests/v1',
    `/v2/one/manifests/${a.digest}`,
    '/v2/other/manifests/v1',
    `/v2/other/manifests/${b.digest}`,
    `/v2/other/blobs/${b.blobs[0]}`,
  ];
  const pullAll = async () => {
    for (const target of paths) assert.ok([200, 404].includes((await client.get(target)).status), target);
  };
  const assertGone = async (...gone: readonly string[]) => {
    setup.away();
    for (const target of paths) {
      const answer = await client.get(target);
      if (gone.includes(target)) assertAway(answer);
      else assert.equal(answer.status, 200, target);
    }
    setup.back();
  };
  const [blob = '', tag = '', digest = '', ...ofOther] = paths;
  await pullAll();
  assert.equal((await client.delete(blob)).status, 202);
  await assertGone(blob);
  assert.equal((await client.delete(tag)).status, 202);
  await assertGone(blob, tag);
  assert.equal((await client.delete(digest)).status, 202);
  await assertGone(blob, tag, digest);
  assert.equal((await client.delete('/api/v1/repositories/other')).status, 204);
  await assertGone(blob, tag, digest, ...ofOther);
});

it('a deletion through another process is heard of with the next question', async () => {
  await using setup = await open();
  const { client, service } = setup;
  const image = await pushImage(client, 'one', 'v1');
  assert.equal((await client.get('/v2/one/manifests/v1')).status, 200);
  await using other = await startService({ root: service.root, hasComparedTree: false });
  const beside = new Client(other.url);
  assert.equal((await beside.delete(`/v2/one/manifests/${image.digest}`)).status, 202);
  beside.close();
  assertRefused(await client.get('/v2/one/manifests/v1'), 404, 'MANIFEST_UNKNOWN');
  setup.away();
  assertAway(await client.get('/v2/one/manifests/v1'));
  setup.back();
});

it('says that it is ready as long as it can serve something, and what it lacks', async () => {
  await using setup = await open();
  const { client } = setup;
  await pushImage(client, 'one', 'v1');
  setup.away();
  const empty = await client.get('/readyz');
  assert.equal(empty.status, 503);
  assert.deepEqual(empty.json(), { status: 'unavailable', failing: ['index'] });
  setup.back();
  assert.equal((await client.get('/v2/one/manifests/v1')).status, 200);
  setup.away();
  const known = await client.get('/readyz');
  assert.equal(known.status, 200);
  assert.deepEqual(known.json(), { status: 'degraded', failing: ['index'] });
});
