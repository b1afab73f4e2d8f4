import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, it } from 'node:test';
import { parseTag, type RepositoryName } from '../../oci/names.ts';
import { createQuotas, type QuotaSettings } from '../../registry/quota.ts';
import { EVERYTHING } from '../../registry/rights.ts';
import { RegistryError } from '../../oci/errors.ts';
import { blobKey } from '../../storage/layout.ts';
import { temporaryDirectory } from '../harness/process.ts';
import {
  bodyOf,
  digestOfText,
  imageOf,
  manifestPush,
  name,
  NO_CLAIM,
  openTestRegistry,
  pushBlob,
  type OpenedRegistry,
} from '../harness/registry.ts';
import { fsck, kindsOf } from './fscked.ts';

const A = name('team/a');
const B = name('team/b');
const OTHER = name('other');
/** A body that nobody is to ask for. */
const UNREAD: AsyncIterable<readonly Uint8Array[]> = {
  [Symbol.asyncIterator]: () => assert.fail('the body is read'),
};
const DAY_MS = 24 * 3_600_000;

async function open(root: string, quotas: readonly QuotaSettings[], more: { run?: string; worker?: number } = {}) {
  const opened = await openTestRegistry({
    root,
    ...more,
    settings: { quotas: createQuotas(quotas), undoMs: 7 * DAY_MS },
  });
  if (more.worker === undefined) await opened.registry.maintenance.verifyTree(async () => {});
  return opened;
}

function isDenied(pattern: RegExp, detail: object = {}) {
  return (error: unknown): boolean => {
    assert.ok(error instanceof RegistryError, String(error));
    assert.deepEqual([error.code, error.status], ['DENIED', 403]);
    assert.match(error.message, pattern);
    const given = error.detail as Record<string, unknown>;
    for (const [key, value] of Object.entries(detail)) assert.deepEqual(given[key], value, key);
    return true;
  };
}

async function assertCounted({ metadata }: OpenedRegistry): Promise<void> {
  const names = await metadata.repositories.page('', 100);
  assert.ok(names.length > 0);
  for (const each of names) {
    const { counted, right } = await metadata.repositories.counts(each);
    assert.deepEqual(counted, right, each);
  }
}

/** What the index has summed up for the quotas that hold for several repositories. */
async function assertSummedUp(
  { metadata, registry }: OpenedRegistry,
  patterns: readonly string[],
  fitting: readonly RepositoryName[],
) {
  await registry.quotas.prepare(async () => {});
  const sum = await metadata.quotas.find(JSON.stringify(patterns));
  const usages = await Promise.all(fitting.map((each) => metadata.repositories.usage(each)));
  const bytes = usages.reduce((all, usage) => all + usage.bytes, 0);
  const tags = usages.reduce((all, usage) => all + usage.tags, 0);
  assert.deepEqual({ bytes: sum?.bytes, tags: sum?.tags }, { bytes, tags });
}

describe('a quota by bytes', () => {
  it('takes what fits to the byte, and nothing more', async () => {
    await using directory = await temporaryDirectory();
    await using store = await open(directory.path, [{ repositories: ['team/*'], bytes: 100, per: 'repository' }]);
    await pushBlob(store.registry, A, 'x'.repeat(60));
    await assert.rejects(
      pushBlob(store.registry, A, 'y'.repeat(41)),
      isDenied(
        /^the quota for each of team\/\* would be exceeded: 60 B of 100 B in use, this adds 41 B: delete images by their digests, or ask/,
        {
          used: 60,
          asked: 41,
          limit: 100,
          quota: { repositories: ['team/*'], per: 'repository', bytes: 100 },
        },
      ),
    );
    await pushBlob(store.registry, A, 'y'.repeat(40));
    await pushBlob(store.registry, A, 'x'.repeat(60));
    await assert.rejects(pushBlob(store.registry, A, 'z'), isDenied(/is full: 100 B of 100 B in use/));
    // It holds for each of them, and for nobody else.
    await pushBlob(store.registry, B, 'z'.repeat(100));
    await pushBlob(store.registry, OTHER, 'z'.repeat(1000));
    await assertCounted(store);
  });

  it('counts manifests, mounts, and all repositories of a rule together', async () => {
    await using directory = await temporaryDirectory();
    const bytes = imageOf('{}', 'layer');
    const limit = 7 + bytes.length + 7;
    await using store = await open(directory.path, [{ repositories: ['team/**'], bytes: limit, per: 'rule' }]);
    for (const blob of ['{}', 'layer']) await pushBlob(store.registry, A, blob);
    await store.registry.manifests.put(manifestPush(A, parseTag('v1'), bytes));
    await store.registry.manifests.put(manifestPush(A, parseTag('v2'), bytes));
    await store.registry.blobs.mount(B, digestOfText('{}'), A, EVERYTHING);
    await store.registry.blobs.mount(B, digestOfText('layer'), A, EVERYTHING);
    await assertSummedUp(store, ['team/**'], [A, B]);
    await assert.rejects(
      store.registry.manifests.put(manifestPush(B, parseTag('v1'), bytes)),
      isDenied(/for all of team\/\*\* is full/),
    );
    assert.equal(await store.registry.manifests.find(B, { tag: parseTag('v1') }), undefined);
    await pushBlob(store.registry, OTHER, 'other');
    await assert.rejects(store.registry.blobs.mount(A, digestOfText('other'), OTHER, EVERYTHING), isDenied(/is full/));
    await store.registry.repositories.delete(A);
    await store.registry.manifests.put(manifestPush(B, parseTag('v1'), bytes));
    await assertSummedUp(store, ['team/**'], [B]);
    await assertCounted(store);
  });

  it('is never exceeded by pushes at the same time, in one process or in two', async () => {
    await using directory = await temporaryDirectory();
    for (const per of ['repository', 'rule'] as const) {
      const quotas = [{ repositories: [`${per}/**`], bytes: 500, per }];
      await using first = await open(directory.path, quotas);
      await using second = await open(directory.path, quotas, { run: first.context.run, worker: 1 });
      const to = (i: number) => name(per === 'rule' ? `${per}/${i % 5}` : `${per}/a`);
      const pushes = Array.from({ length: 40 }, (_, i) =>
        pushBlob((i % 2 === 0 ? first : second).registry, to(i), `${i}`.padEnd(90, '.')),
      );
      const outcomes = await Promise.allSettled(pushes);
      const taken = outcomes.filter(({ status }) => status === 'fulfilled').length;
      assert.equal(taken, 5, per);
      for (const outcome of outcomes) if (outcome.status === 'rejected') isDenied(/the quota for/)(outcome.reason);
      const used = await Promise.all([0, 1, 2, 3, 4].map((i) => first.metadata.repositories.usage(to(i))));
      const sum = per === 'rule' ? used.reduce((all, { bytes }) => all + bytes, 0) : (used[0]?.bytes ?? 0);
      assert.equal(sum, 450);
      assert.deepEqual(await first.metadata.intents.reserved(), []);
      await assertCounted(first);
    }
  });

  it('knows repositories that came about before it did, by a push or by adoption', async () => {
    await using directory = await temporaryDirectory();
    {
      await using before = await open(directory.path, []);
      await pushBlob(before.registry, A, 'x'.repeat(60));
      await pushBlob(before.registry, OTHER, 'x'.repeat(60));
    }
    const quota = { repositories: ['team/**'], bytes: 100, per: 'rule' as const };
    {
      await using store = await open(directory.path, [quota]);
      await assert.rejects(pushBlob(store.registry, B, 'y'.repeat(41)), isDenied(/60 B of 100 B/));
      await pushBlob(store.registry, B, 'y'.repeat(40));
    }
    // Another quota, and nobody asks for the old one any more.
    await using store = await open(directory.path, [{ repositories: ['**'], bytes: 170, per: 'rule' }]);
    await store.registry.quotas.prepare(async () => {});
    assert.equal(await store.metadata.quotas.find('["team/**"]'), undefined);
    await assertSummedUp(store, ['**'], [A, B, OTHER]);
    await assert.rejects(pushBlob(store.registry, name('new'), 'y'.repeat(11)), isDenied(/160 B of 170 B/));
    await pushBlob(store.registry, name('new'), 'y'.repeat(10));
  });

  it('leaves nothing reserved behind what fails', async () => {
    await using directory = await temporaryDirectory();
    await using store = await open(directory.path, [{ repositories: ['**'], bytes: 1000, per: 'rule' }]);
    const { driver } = store.context;
    const writeAll = driver.writeAll.bind(driver);
    driver.writeAll = async () => {
      throw new Error('the disk is gone');
    };
    const content = 'x'.repeat(900);
    const claim = { range: undefined, length: 900 };
    const pushed = store.registry.uploads.pushWhole(A, digestOfText(content), claim, bodyOf(content));
    await assert.rejects(pushed, /the disk is gone/);
    await assert.rejects(store.registry.manifests.put(manifestPush(A, parseTag('v1'), imageOf('{}'))));
    driver.writeAll = writeAll;
    await store.registry.maintenance.verifyDoubted(async () => {});
    assert.deepEqual(await store.metadata.intents.reserved(), []);
    await pushBlob(store.registry, A, 'y'.repeat(900));
    await assertCounted(store);
  });

  it('is asked early: a session is not opened, a body not read that cannot fit', async () => {
    await using directory = await temporaryDirectory();
    await using store = await open(directory.path, [{ repositories: ['**'], bytes: 400_000, per: 'repository' }]);
    const { uploads } = store.registry;
    const claim = { range: undefined, length: 400_001 };
    const digest = digestOfText('x'.repeat(400_001));
    await assert.rejects(uploads.pushWhole(A, digest, claim, UNREAD), isDenied(/0 B of 390.6 KiB/));
    const { id } = await uploads.open(A, 'sha256');
    await assert.rejects(uploads.append(A, id, claim, UNREAD), isDenied(/quota/));
    const range = { range: { start: 0, end: 400_000 }, length: undefined };
    await assert.rejects(uploads.append(A, id, range, UNREAD), isDenied(/quota/));
    await uploads.append(A, id, NO_CLAIM, bodyOf('x'.repeat(300_000)));
    await assert.rejects(uploads.append(A, id, { range: undefined, length: 100_001 }, UNREAD), isDenied(/quota/));
    await assert.rejects(
      uploads.finish(A, id, digest, { range: undefined, length: 100_001 }, UNREAD),
      isDenied(/quota/),
    );
    // Nobody says how long it is: it is cut when it does not fit, and the session is gone with its bytes.
    await assert.rejects(uploads.append(A, id, NO_CLAIM, bodyOf('x'.repeat(100_000), 'x')), isDenied(/quota/));
    await assert.rejects(uploads.status(A, id), /blob upload unknown/);
    await pushBlob(store.registry, A, 'y'.repeat(400_000));
    await assert.rejects(uploads.open(A, 'sha256'), isDenied(/is full: 390.6 KiB of 390.6 KiB in use: delete images/));
    // What it has takes no room.
    await pushBlob(store.registry, A, 'y'.repeat(400_000));
  });
});

describe('a quota that is full', () => {
  const content = 'x'.repeat(100_000);
  const digest = digestOfText(content);
  const pushes: Readonly<Record<string, (store: OpenedRegistry, text: string) => Promise<unknown>>> = {
    'in one request': ({ registry }, text) =>
      registry.uploads.pushWhole(A, digestOfText(text), { range: undefined, length: text.length }, bodyOf(text)),
    'in a session of one chunk': async ({ registry: { uploads } }, text) => {
      const { id } = await uploads.open(A, 'sha256');
      return uploads.finish(A, id, digestOfText(text), { range: undefined, length: text.length }, bodyOf(text));
    },
    'in a session of chunks': async ({ registry: { uploads } }, text) => {
      const { id } = await uploads.open(A, 'sha256');
      await uploads.append(A, id, NO_CLAIM, bodyOf(text.slice(0, 1000)));
      const range = { start: 1000, end: text.length - 1 };
      await uploads.append(A, id, { range, length: undefined }, bodyOf(text.slice(1000)));
      return uploads.finish(A, id, digestOfText(text), NO_CLAIM, bodyOf());
    },
  };
  for (const [way, push] of Object.entries(pushes)) {
    it(`lets a damaged blob be pushed again ${way}, and nothing else`, async () => {
      await using directory = await temporaryDirectory();
      const quotas = [{ repositories: ['team/*'], bytes: content.length, per: 'repository' as const }];
      await using store = await open(directory.path, quotas);
      await push(store, content);
      await writeFile(path.join(directory.path, blobKey(digest)), 'damaged');
      await store.registry.integrity.fsck({ isRepairing: true, isQuick: false, pause: async () => {}, tell: () => {} });
      await assert.rejects(store.registry.blobs.get(A, digest), { code: 'BLOB_UNKNOWN' });
      await assert.rejects(push(store, 'y'.repeat(content.length)), isDenied(/is full/));
      await assert.rejects(push(store, 'y'.repeat(content.length + 1)), isDenied(/quota/));
      await push(store, content);
      await store.registry.blobs.get(A, digest);
      await assertCounted(store);
      await assert.rejects(push(store, 'z'), isDenied(/is full/));
    });
  }
});

describe('a quota by tags', () => {
  it('counts new tags, and not those that move', async () => {
    await using directory = await temporaryDirectory();
    await using store = await open(directory.path, [{ repositories: ['**'], tags: 2, per: 'repository' }]);
    const { manifests } = store.registry;
    const [one, two] = [imageOf('{}', 'one'), imageOf('{}', 'two')];
    for (const blob of ['{}', 'one', 'two']) await pushBlob(store.registry, A, blob);
    const push = (tags: readonly string[], bytes: Buffer) =>
      manifests.put({
        ...manifestPush(A, parseTag('none'), bytes),
        reference: { digest: digestOfText(bytes) },
        tags: tags.map(parseTag),
      });
    await assert.rejects(
      push(['a', 'b', 'c'], one),
      isDenied(/for each of \*\* would be exceeded: 0 tags of 2 tags in use, this adds 3 tags/),
    );
    await push(['a', 'b'], one);
    await assert.rejects(push(['a', 'c'], two), isDenied(/is full: 2 tags of 2 tags in use, this adds 1 tag:/));
    await push(['a', 'b'], two);
    await push([], one);
    await store.registry.tags.delete(A, parseTag('a'));
    await push(['c'], one);
    await assertCounted(store);
  });

  it('is never exceeded by pushes at the same time', async () => {
    await using directory = await temporaryDirectory();
    await using store = await open(directory.path, [{ repositories: ['**'], tags: 4, per: 'rule' }]);
    const bytes = imageOf('{}');
    for (const each of [A, B]) await pushBlob(store.registry, each, '{}');
    const pushes = Array.from({ length: 20 }, (_, i) =>
      store.registry.manifests.put(manifestPush(i % 2 === 0 ? A : B, parseTag(`t${i}`), bytes)),
    );
    const outcomes = await Promise.allSettled(pushes);
    assert.equal(outcomes.filter(({ status }) => status === 'fulfilled').length, 4);
    await assertCounted(store);
    await assertSummedUp(store, ['**'], [A, B]);
  });

  it('holds for what is brought back as well, by tags and by bytes', async () => {
    await using directory = await temporaryDirectory();
    const bytes = imageOf('{}', 'layer');
    const size = 7 + bytes.length;
    const quotas = [
      { repositories: ['**'], tags: 1, per: 'repository' as const },
      { repositories: ['**'], bytes: size + 3, per: 'repository' as const },
    ];
    await using store = await open(directory.path, quotas);
    const restore = (tag: string) => store.registry.undo.restore({ name: A, tag: parseTag(tag), rights: EVERYTHING });
    for (const blob of ['{}', 'layer']) await pushBlob(store.registry, A, blob);
    await store.registry.manifests.put(manifestPush(A, parseTag('v1'), bytes));
    await store.registry.tags.delete(A, parseTag('v1'));
    await store.registry.manifests.put(manifestPush(A, parseTag('v2'), bytes));
    await assert.rejects(restore('v1'), isDenied(/1 tag of 1 tag in use/));
    await store.registry.repositories.delete(A);
    await pushBlob(store.registry, A, 'four');
    await assert.rejects(restore('v2'), isDenied(/B in use, this adds/));
    assert.deepEqual(await store.metadata.repositories.usage(A), { bytes: 4, tags: 0 });
    await store.registry.blobs.delete(A, digestOfText('four'));
    assert.equal((await restore('v2')).digest, digestOfText(bytes));
    assert.deepEqual(await store.metadata.repositories.usage(A), { bytes: size, tags: 1 });
    assert.deepEqual(await store.metadata.intents.reserved(), []);
    await assertCounted(store);
  });
});

describe('what a repository uses', () => {
  it('is counted by digest, also where a manifest is pushed as a blob, or turns out to have another size', async () => {
    await using directory = await temporaryDirectory();
    await using store = await open(directory.path, [{ repositories: ['**'], bytes: 1e9, per: 'rule' }]);
    const bytes = imageOf('{}');
    await pushBlob(store.registry, A, '{}');
    await pushBlob(store.registry, A, bytes.toString());
    await store.registry.manifests.put(manifestPush(A, parseTag('v1'), bytes));
    assert.equal((await store.metadata.repositories.usage(A)).bytes, 2 + bytes.length);
    await store.registry.manifests.delete(A, digestOfText(bytes), EVERYTHING);
    assert.equal((await store.metadata.repositories.usage(A)).bytes, 2 + bytes.length);
    await store.registry.blobs.delete(A, digestOfText(bytes));
    assert.equal((await store.metadata.repositories.usage(A)).bytes, 2);
    await store.registry.blobs.mount(B, digestOfText('{}'), A, EVERYTHING);
    const resized = { digest: digestOfText('{}'), size: 7, now: Date.now(), verifiedAt: undefined };
    await store.metadata.write('relaxed', (tx) => store.metadata.blobs.upsert(tx, resized));
    assert.equal((await store.metadata.repositories.usage(B)).bytes, 7);
    await assertCounted(store);
    await assertSummedUp(store, ['**'], [A, B]);
  });

  it('is counted anew, and told from what was counted wrong', async () => {
    await using directory = await temporaryDirectory();
    await using store = await open(directory.path, [{ repositories: ['**'], bytes: 1e9, per: 'rule' }]);
    await pushBlob(store.registry, A, '{}');
    await store.registry.manifests.put(manifestPush(A, parseTag('v1'), imageOf('{}')));
    const right = await store.metadata.repositories.usage(A);
    await store.metadata.write('relaxed', (tx) => tx.run('UPDATE repository SET bytes = 1, tag_count = 9'));
    assert.deepEqual(await store.metadata.repositories.counts(A), { counted: { bytes: 1, tags: 9 }, right });
    const isCountedRightly = () => store.metadata.repositories.isCountedRightly(A, async () => {});
    assert.equal(await isCountedRightly(), false);
    await store.metadata.repositories.recount(A);
    assert.equal(await isCountedRightly(), true);
    assert.deepEqual(await store.metadata.repositories.usage(A), right);
  });

  it('has a sum for the repositories of a quota, which a check holds against what they count', async () => {
    await using directory = await temporaryDirectory();
    await using store = await open(directory.path, [{ repositories: ['team/*'], bytes: 1e9, per: 'rule' }]);
    for (const each of [A, B]) await pushBlob(store.registry, each, '{}');
    await store.metadata.write('relaxed', (tx) => tx.run('UPDATE quota_sum SET bytes = bytes + 1'));
    for (const isRepairing of [false, true]) {
      const { findings } = await fsck(store, { isRepairing });
      const detail = 'the sum of all repositories that fit team/*';
      assert.deepEqual(findings, [{ kind: 'counter-wrong', detail, isRepaired: isRepairing }]);
    }
    await assertSummedUp(store, ['team/*'], [A, B]);
    assert.deepEqual(kindsOf(await fsck(store)), []);
  });
});
