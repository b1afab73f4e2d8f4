import assert from 'node:assert/strict';
import { before, it } from 'node:test';
import type { Answer } from './client.ts';
import {
  descriptor,
  digestOf,
  imageIndex,
  imageManifest,
  NOWHERE,
  OCI_INDEX,
  OCI_MANIFEST,
  pushBlob,
  pushImage,
  putManifest,
} from './content.ts';
import { follow, nextOf } from './links.ts';
import { assertRefused } from './refusal.ts';
import { describeOnDrivers } from './suite.ts';

interface Listed {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
  readonly artifactType?: string;
  readonly annotations?: Record<string, string>;
}

const manifestsOf = (answer: Answer) => (answer.json() as { manifests: Listed[] }).manifests;
const digestsOf = (answer: Answer) => manifestsOf(answer).map(({ digest }) => digest);

describeOnDrivers('end-12, referrers', (setup) => {
  let subject = { manifest: '', digest: '' };
  let referrers: { manifest: string; digest: string; artifactType: string }[] = [];

  before(async () => {
    subject = await pushImage(setup.client, 'referrers', 'subject');
    await pushBlob(setup.client, 'referrers', '{}');
    const push = async (i: number) => {
      const artifactType = `application/vnd.example.type${i % 2}`;
      const more = {
        artifactType,
        subject: descriptor(OCI_MANIFEST, subject.manifest),
        annotations: { number: String(i) },
      };
      const manifest = imageManifest('{}', [], more);
      const answer = await putManifest(setup.client, 'referrers', digestOf(manifest), manifest);
      assert.equal(answer.status, 201);
      assert.equal(answer.header('OCI-Subject'), subject.digest);
      return { manifest, digest: digestOf(manifest), artifactType };
    };
    referrers = await Promise.all(Array.from({ length: 6 }, (_, i) => push(i)));
    referrers.sort((a, b) => (a.digest < b.digest ? -1 : 1));
  });

  it('gives an index of every manifest with that subject', async () => {
    const answer = await setup.client.get(`/v2/referrers/referrers/${subject.digest}`);
    assert.equal(answer.status, 200);
    assert.equal(answer.header('Content-Type'), OCI_INDEX);
    assert.equal(answer.headers['oci-filters-applied'], undefined);
    const body = answer.json() as { schemaVersion: number; mediaType: string };
    assert.equal(body.schemaVersion, 2);
    assert.equal(body.mediaType, OCI_INDEX);
    assert.deepEqual(
      digestsOf(answer),
      referrers.map(({ digest }) => digest),
    );
    for (const [i, listed] of manifestsOf(answer).entries()) {
      const { manifest, artifactType } = referrers[i] ?? { manifest: '', artifactType: '' };
      assert.equal(listed.mediaType, OCI_MANIFEST);
      assert.equal(listed.size, manifest.length);
      assert.equal(listed.artifactType, artifactType);
      assert.deepEqual(listed.annotations, (JSON.parse(manifest) as Listed).annotations);
    }
    const head = await setup.client.head(`/v2/referrers/referrers/${subject.digest}`);
    assert.equal(head.header('Content-Length'), answer.header('Content-Length'));
  });

  it('filters by artifactType and says so', async () => {
    for (const type of ['application/vnd.example.type0', 'application/vnd.example.type1', 'nothing/has-it', '']) {
      const answer = await setup.client.get(`/v2/referrers/referrers/${subject.digest}?artifactType=${type}`);
      assert.equal(answer.header('OCI-Filters-Applied'), 'artifactType');
      assert.deepEqual(
        digestsOf(answer),
        referrers.filter(({ artifactType }) => artifactType === type).map(({ digest }) => digest),
      );
    }
  });

  it('filters by a type with a plus, however the plus is written', async () => {
    const artifactType = 'application/vnd.example.statement+json';
    const manifest = imageIndex([], { artifactType, subject: descriptor(OCI_MANIFEST, 'of the plus') });
    assert.equal((await putManifest(setup.client, 'plus', 'v1', manifest)).status, 201);
    for (const written of [artifactType, encodeURIComponent(artifactType)]) {
      const answer = await setup.client.get(`/v2/plus/referrers/${digestOf('of the plus')}?artifactType=${written}`);
      assert.equal(answer.header('OCI-Filters-Applied'), 'artifactType');
      assert.deepEqual(digestsOf(answer), [digestOf(manifest)]);
    }
  });

  for (const n of [1, 2, 5, 6]) {
    it(`gives them in pages of ${n}`, async () => {
      const pages = await follow(setup.client, `/v2/referrers/referrers/${subject.digest}?n=${n}`);
      assert.deepEqual(
        pages.flatMap(digestsOf),
        referrers.map(({ digest }) => digest),
      );
      assert.equal(pages.length, Math.ceil(6 / n));
    });
  }

  it('keeps the filter from page to page', async () => {
    const type = 'application/vnd.example.type1';
    const pages = await follow(setup.client, `/v2/referrers/referrers/${subject.digest}?n=1&artifactType=${type}`);
    assert.equal(pages.length, 3);
    for (const page of pages) {
      assert.equal(page.header('OCI-Filters-Applied'), 'artifactType');
      assert.equal(manifestsOf(page)[0]?.artifactType, type);
    }
  });

  it('n=0 gives none and no link', async () => {
    const answer = await setup.client.get(`/v2/referrers/referrers/${subject.digest}?n=0`);
    assert.deepEqual(manifestsOf(answer), []);
    assert.equal(nextOf(answer), undefined);
  });

  it('a subject that is nowhere has none, in any repository and in one that is not there', async () => {
    for (const path of [
      `referrers/referrers/${NOWHERE}`,
      `nobody/referrers/${NOWHERE}`,
      `nobody/referrers/sha512:${'0'.repeat(128)}`,
    ]) {
      const answer = await setup.client.get(`/v2/${path}`);
      assert.equal(answer.status, 200, answer.text);
      assert.deepEqual(manifestsOf(answer), []);
    }
  });

  it('takes a manifest before its subject', async () => {
    await pushBlob(setup.client, 'early', '{}');
    const late = imageManifest('{}', [], { annotations: { pushed: 'late' } });
    const early = imageManifest('{}', [], { subject: descriptor(OCI_MANIFEST, late) });
    const answer = await putManifest(setup.client, 'early', 'v1', early);
    assert.equal(answer.header('OCI-Subject'), digestOf(late));
    assert.deepEqual(digestsOf(await setup.client.get(`/v2/early/referrers/${digestOf(late)}`)), [digestOf(early)]);
  });

  it('takes an index with a subject; without artifactType an image shows the type of its config', async () => {
    const index = imageIndex([], {
      subject: descriptor(OCI_MANIFEST, 'subject'),
      artifactType: 'application/vnd.example.index',
    });
    await pushBlob(setup.client, 'kinds', '{}');
    const image = imageManifest('{}', [], { subject: descriptor(OCI_MANIFEST, 'subject') });
    for (const manifest of [index, image])
      assert.equal((await putManifest(setup.client, 'kinds', digestOf(manifest), manifest)).status, 201);
    const listed = manifestsOf(await setup.client.get(`/v2/kinds/referrers/${digestOf('subject')}`));
    assert.equal(
      listed.find(({ mediaType }) => mediaType === OCI_INDEX)?.artifactType,
      'application/vnd.example.index',
    );
    const ofImage = listed.find(({ mediaType }) => mediaType === OCI_MANIFEST);
    assert.equal(ofImage?.artifactType, 'application/vnd.oci.image.config.v1+json');
  });

  it('a deleted referrer is gone', async () => {
    await pushBlob(setup.client, 'gone', '{}');
    const manifest = imageManifest('{}', [], { subject: descriptor(OCI_MANIFEST, 'subject') });
    await putManifest(setup.client, 'gone', 'v1', manifest);
    const path = `/v2/gone/referrers/${digestOf('subject')}`;
    assert.deepEqual(digestsOf(await setup.client.get(path)), [digestOf(manifest)]);
    assert.equal((await setup.client.delete(`/v2/gone/manifests/${digestOf(manifest)}`)).status, 202);
    assert.deepEqual(digestsOf(await setup.client.get(path)), []);
  });

  it('does not tell of the referrers in another repository', async () => {
    await pushBlob(setup.client, 'other', '{}');
    assert.deepEqual(digestsOf(await setup.client.get(`/v2/other/referrers/${subject.digest}`)), []);
  });

  for (const digest of ['latest', 'sha256:x', NOWHERE.toUpperCase(), `md5:${'0'.repeat(32)}`]) {
    it(`refuses the digest ${digest.slice(0, 20)}`, async () => {
      assertRefused(await setup.client.get(`/v2/referrers/referrers/${digest}`), 400, 'DIGEST_INVALID');
    });
  }

  it('refuses a bad n', async () => {
    assertRefused(
      await setup.client.get(`/v2/referrers/referrers/${NOWHERE}?n=x`),
      400,
      'UNSUPPORTED',
      /n is the number/,
    );
  });
});
