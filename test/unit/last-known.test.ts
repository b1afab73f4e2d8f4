import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseTag } from '../../oci/names.ts';
import { intentKey } from '../../registry/intents.ts';
import { KNOWN_FOR_MS, LastKnown } from '../../registry/last-known.ts';
import { StorageError } from '../../storage/blobs/driver.ts';
import { IndexError } from '../../storage/metadata/index-error.ts';
import { digestOfText, name } from '../harness/registry.ts';

const AWAY = new IndexError('unavailable', 'it is away');
const APP = name('team/app');
const V1 = parseTag('v1');
const manifestOf = (text: string) => ({ digest: digestOfText(text), size: text.length, mediaType: 'a/b' });
const ONE = manifestOf('one');
const TWO = manifestOf('two');
const BLOB = { size: 3, lastUsed: 1, verifiedAt: 2, isDeferred: false };

function open({ maxBytes }: { maxBytes?: number } = {}) {
  const lines: string[] = [];
  const clock = { now: 1_000_000_000 };
  let answers = 0;
  const known = new LastKnown({
    now: () => clock.now,
    log: { info: (message) => lines.push(message), warn: (message) => lines.push(message) },
    ...(maxBytes !== undefined && { maxBytes }),
    onAnswer: () => (answers += 1),
  });
  const hear = (tag: typeof V1, manifest: typeof ONE | undefined, of = APP) =>
    known.heardOfManifest(known.asking(), of, { tag }, manifest);
  const recall = (tag: typeof V1, of = APP) => known.manifestInsteadOf(AWAY, of, { tag });
  return { known, clock, lines, hear, recall, answers: () => answers };
}

describe('what the index said last', () => {
  it('is a tag, a manifest, a blob, in the repository that it was asked about', () => {
    const { known, hear, recall, answers } = open();
    hear(V1, ONE);
    known.heardOfBlob(known.asking(), APP, TWO.digest, BLOB);
    assert.deepEqual(recall(V1), ONE);
    assert.deepEqual(known.manifestInsteadOf(AWAY, APP, { digest: ONE.digest }), ONE);
    assert.deepEqual(known.blobInsteadOf(AWAY, APP, TWO.digest), BLOB);
    assert.equal(answers(), 3);
    for (const unknown of [
      () => recall(parseTag('v2')),
      () => recall(V1, name('team/other')),
      () => known.manifestInsteadOf(AWAY, APP, { digest: TWO.digest }),
      () => known.blobInsteadOf(AWAY, APP, ONE.digest),
    ]) {
      assert.throws(unknown, AWAY);
    }
    assert.equal(answers(), 3);
  });

  it('is the last of what it said, and nothing where it said that there is nothing', () => {
    const { hear, recall } = open();
    hear(V1, ONE);
    hear(V1, TWO);
    assert.deepEqual(recall(V1), TWO);
    hear(V1, undefined);
    assert.throws(() => recall(V1), AWAY);
  });

  it('is not used for the failure of anything but the index', () => {
    const { known, hear } = open();
    hear(V1, ONE);
    const failed = new StorageError('unavailable', 'the store is away');
    assert.throws(() => known.manifestInsteadOf(failed, APP, { tag: V1 }), failed);
  });

  it('holds for a day since the index was asked', () => {
    const { hear, recall, clock } = open();
    hear(V1, ONE);
    clock.now += KNOWN_FOR_MS;
    assert.deepEqual(recall(V1), ONE);
    clock.now += 1;
    assert.throws(() => recall(V1), AWAY);
  });

  it('is forgotten with what this process changes, also where the answer was on its way meanwhile', () => {
    const { known, hear, recall } = open();
    hear(V1, ONE);
    const asked = known.asking();
    known.forget([intentKey(APP, { tag: V1 })]);
    assert.throws(() => recall(V1), AWAY);
    known.heardOfManifest(asked, APP, { tag: V1 }, ONE);
    assert.throws(() => recall(V1), AWAY);
    hear(V1, ONE);
    assert.deepEqual(recall(V1), ONE);
    known.forget([intentKey(APP, { manifest: ONE.digest })]);
    assert.throws(() => recall(V1), AWAY);
  });

  it('is forgotten for the whole of a repository, and for no other whose name is like it', () => {
    const { known, hear, recall } = open();
    const others = ['team/app2', 'team/app/nested', 'team', 'app'].map(name);
    for (const repository of [APP, ...others]) hear(V1, ONE, repository);
    known.heardOfBlob(known.asking(), APP, TWO.digest, BLOB);
    known.forget([intentKey(APP, 'whole repository')]);
    assert.throws(() => recall(V1), AWAY);
    assert.throws(() => known.blobInsteadOf(AWAY, APP, TWO.digest), AWAY);
    for (const repository of others) assert.deepEqual(recall(V1, repository), ONE, repository);
  });

  it('is forgotten with content that is gone from the store, until the index says that it is there again', () => {
    const { known, hear, recall } = open();
    const others = Array.from({ length: 20_000 }, (_, number) => digestOfText(`other ${number}`));
    for (const more of [[], others]) {
      hear(V1, ONE);
      known.heardOfBlob(known.asking(), APP, TWO.digest, BLOB);
      for (const digest of [ONE.digest, TWO.digest, ...more]) known.forgetContent(digest);
      assert.throws(() => recall(V1), AWAY);
      assert.throws(() => known.blobInsteadOf(AWAY, APP, TWO.digest), AWAY);
      hear(V1, ONE);
      assert.deepEqual(recall(V1), ONE);
    }
  });

  it('is bounded, and what was not confirmed for longest goes first', () => {
    const { hear, recall, clock } = open({ maxBytes: 20_000 });
    const tags = Array.from({ length: 100 }, (_, number) => parseTag(`v${number}`));
    for (const [number, tag] of tags.entries()) {
      hear(tag, manifestOf(`manifest ${number}`));
      clock.now += 20_000;
      hear(V1, ONE);
    }
    const known = tags.filter((tag) => {
      try {
        return recall(tag) !== undefined;
      } catch {
        return false;
      }
    });
    assert.ok(known.length > 5 && known.length < 60, `${known.length}`);
    assert.deepEqual(known.filter((tag) => tag !== V1).at(-1), 'v99');
    assert.ok(known.includes(V1));
  });

  it('says once that the index is away, and once that it is back', () => {
    const { known, hear, recall, clock, lines } = open();
    hear(V1, ONE);
    for (let i = 0; i < 5; i += 1) {
      recall(V1);
      assert.throws(() => recall(parseTag('v2')), AWAY);
      clock.now += 1_000;
      // Now and then it answers.
      hear(V1, ONE);
    }
    assert.equal(lines.length, 1);
    assert.match(lines[0] ?? '', /cannot be asked/);
    clock.now += 10_000;
    known.heardOfBlob(known.asking(), APP, TWO.digest, BLOB);
    hear(V1, ONE);
    assert.equal(lines.length, 2);
    assert.match(lines[1] ?? '', /can be asked again/);
  });
});
