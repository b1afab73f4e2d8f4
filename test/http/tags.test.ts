import assert from 'node:assert/strict';
import { before, it } from 'node:test';
import { digestOf, imageManifest, pushBlob, pushImage, putManifest, tagsOf } from './content.ts';
import { follow, nextOf } from './links.ts';
import { assertHeadRefused, assertRefused } from './refusal.ts';
import { describeOnDrivers } from './suite.ts';

// In the order of their bytes.
const TAGS = ['1.0', '1.10', '1.9', 'A', 'Z', '_', 'a', 'a-b', 'a.b', 'a_b', 'aa', 'latest', 'z'];

describeOnDrivers('end-8, listing tags', (setup) => {
  const list = '/v2/tags/tags/list';
  const read = async (query: string) => {
    const answer = await setup.client.get(`${list}${query}`);
    assert.equal(answer.status, 200, answer.text);
    return { answer, tags: (answer.json() as { tags: string[] }).tags };
  };

  before(async () => {
    const image = await pushImage(setup.client, 'tags', 'latest');
    for (const tag of TAGS.toReversed()) await putManifest(setup.client, 'tags', tag, image.manifest);
  });

  it('gives all of them in the order of their bytes', async () => {
    const { answer, tags } = await read('');
    assert.deepEqual(tags, TAGS);
    assert.equal(answer.header('Content-Type'), 'application/json');
    assert.equal(nextOf(answer), undefined);
    const head = await setup.client.head(list);
    assert.equal(head.header('Content-Length'), answer.header('Content-Length'));
    assert.equal(head.bytes.length, 0);
  });

  for (const n of [1, 2, 5, 12, 13]) {
    it(`gives them in pages of ${n} that link to each other`, async () => {
      const pages = (await follow(setup.client, `${list}?n=${n}`)).map(
        (page) => (page.json() as { tags: string[] }).tags,
      );
      assert.deepEqual(pages.flat(), TAGS);
      assert.equal(pages.length, Math.ceil(TAGS.length / n));
      for (const page of pages.slice(0, -1)) assert.equal(page.length, n);
    });
  }

  it('n=0 gives none and no link', async () => {
    const { answer, tags } = await read('?n=0');
    assert.deepEqual(tags, []);
    assert.equal(nextOf(answer), undefined);
  });

  for (const n of ['13', '14', '1000000', '999999999', '9'.repeat(10), '9'.repeat(400), '0013']) {
    it(`n=${n.slice(0, 20)} gives all of them`, async () => {
      const { answer, tags } = await read(`?n=${n}`);
      assert.deepEqual(tags, TAGS);
      assert.equal(nextOf(answer), undefined);
    });
  }

  for (const n of ['', '-1', '1.5', 'x', '1e3', '0x10', '+1', '%00', '%201', 'NaN', '٣']) {
    it(`refuses n=${n}`, async () => {
      assertRefused(await setup.client.get(`${list}?n=${encodeURI(n)}`), 400, 'UNSUPPORTED', /n is the number/);
    });
  }

  for (const [last, first] of [
    ['', '1.0'],
    ['1.0', '1.10'],
    ['1.5', '1.9'],
    ['0', '1.0'],
    ['aaa', 'latest'],
    ['not/a%20tag!', 'z'],
    ['%00', '1.0'],
    ['z', undefined],
    ['zz', undefined],
    ['%F0%9F%92%A9', undefined],
  ] as const) {
    it(`last=${last} gives what comes behind it, whether it exists or not`, async () => {
      const { tags } = await read(`?last=${last}`);
      assert.equal(tags[0], first);
      assert.deepEqual(tags, first === undefined ? [] : TAGS.slice(TAGS.indexOf(first)));
    });
  }

  it('goes on when the last tag of a page is deleted before the next', async () => {
    const image = await pushImage(setup.client, 'shrinking', 'a');
    for (const tag of ['b', 'c']) await putManifest(setup.client, 'shrinking', tag, image.manifest);
    const first = await setup.client.get('/v2/shrinking/tags/list?n=2');
    await setup.client.delete('/v2/shrinking/manifests/b');
    const second = await setup.client.get(nextOf(first) ?? '');
    assert.deepEqual(second.json(), { name: 'shrinking', tags: ['c'] });
  });

  it('a repository without tags has none, one that is not there is unknown', async () => {
    await pushBlob(setup.client, 'untagged', '{}');
    assert.deepEqual(await tagsOf(setup.client, 'untagged'), []);
    const manifest = imageManifest('{}', []);
    await putManifest(setup.client, 'untagged', digestOf(manifest), manifest);
    assert.deepEqual(await tagsOf(setup.client, 'untagged'), []);
    for (const query of ['', '?n=0', '?n=5', '?last=x']) {
      assertRefused(await setup.client.get(`/v2/nobody/tags/list${query}`), 404, 'NAME_UNKNOWN');
    }
    assertHeadRefused(await setup.client.head('/v2/nobody/tags/list'), 404);
  });

  it('a repository named like a path of ours is one', async () => {
    for (const name of ['tags/list', 'a/manifests/b', 'blobs/uploads', 'a/tags/list/b', 'v2', 'referrers']) {
      await pushImage(setup.client, name, 'v1');
      assert.deepEqual(await tagsOf(setup.client, name), ['v1']);
    }
  });
});
