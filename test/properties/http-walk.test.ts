import assert from 'node:assert/strict';
import { it } from 'node:test';
import * as fc from 'fast-check';
import { parseRepositoryName } from '../../oci/names.ts';
import type { TestService } from '../harness/service.ts';
import type { Answer, Client } from '../http/client.ts';
import { digestOf, putManifest, repositoriesOf } from '../http/content.ts';
import { describeOnDrivers } from '../http/suite.ts';
import { BLOBS, MANIFESTS, Model, REPOSITORIES, TAGS } from './http-model.ts';

/** One change, made to the registry below `prefix` and to the model. */
interface Step {
  readonly text: string;
  readonly apply: (client: Client, prefix: string, model: Model) => Promise<{ answer: Answer; expected: number }>;
}

const name = fc.constantFrom(...REPOSITORIES);
const blob = fc.nat(BLOBS.length - 1);
const manifest = fc.nat(MANIFESTS.length - 1);
const tag = fc.constantFrom(...TAGS);
const blobDigest = (index: number) => digestOf(BLOBS[index] ?? '');
const manifestOf = (index: number) => MANIFESTS[index] ?? { text: '', digest: '' };

const pushBlob = (to: string, index: number): Step => ({
  text: `push blob ${index} to ${to}`,
  apply: async (client, prefix, model) => ({
    answer: await client.post(`/v2/${prefix}${to}/blobs/uploads/?digest=${blobDigest(index)}`, BLOBS[index]),
    expected: model.pushBlob(to, index),
  }),
});

const mount = (to: string, from: string, index: number): Step => ({
  text: `mount blob ${index} from ${from} to ${to}`,
  apply: async (client, prefix, model) => {
    const query = `mount=${blobDigest(index)}&from=${prefix}${from}`;
    const answer = await client.post(`/v2/${prefix}${to}/blobs/uploads/?${query}`);
    return { answer, expected: model.mount(to, from, index) };
  },
});

const deleteBlob = (from: string, index: number): Step => ({
  text: `delete blob ${index} of ${from}`,
  apply: async (client, prefix, model) => ({
    answer: await client.delete(`/v2/${prefix}${from}/blobs/${blobDigest(index)}`),
    expected: model.deleteBlob(from, index),
  }),
});

const pushManifest = (to: string, index: number, as: string | undefined): Step => ({
  text: `push manifest ${index} to ${to} as ${as ?? 'its digest'}`,
  apply: async (client, prefix, model) => {
    const { text, digest } = manifestOf(index);
    const answer = await putManifest(client, `${prefix}${to}`, as ?? digest, text);
    return { answer, expected: model.pushManifest(to, index, as) };
  },
});

const deleteTag = (from: string, which: string): Step => ({
  text: `delete tag ${which} of ${from}`,
  apply: async (client, prefix, model) => ({
    answer: await client.delete(`/v2/${prefix}${from}/manifests/${which}`),
    expected: model.deleteTag(from, which),
  }),
});

const deleteManifest = (from: string, index: number): Step => ({
  text: `delete manifest ${index} of ${from}`,
  apply: async (client, prefix, model) => ({
    answer: await client.delete(`/v2/${prefix}${from}/manifests/${manifestOf(index).digest}`),
    expected: model.deleteManifest(from, index),
  }),
});

const deleteRepository = (which: string): Step => ({
  text: `delete repository ${which}`,
  apply: async (client, prefix, model) => ({
    answer: await client.delete(`/api/v1/repositories/${prefix}${which}`),
    expected: model.deleteRepository(which),
  }),
});

const step = fc.oneof(
  { weight: 6, arbitrary: fc.tuple(name, blob).map((args) => pushBlob(...args)) },
  { weight: 2, arbitrary: fc.tuple(name, name, blob).map((args) => mount(...args)) },
  { weight: 3, arbitrary: fc.tuple(name, blob).map((args) => deleteBlob(...args)) },
  {
    weight: 6,
    arbitrary: fc.tuple(name, manifest, fc.option(tag, { nil: undefined })).map((args) => pushManifest(...args)),
  },
  { weight: 2, arbitrary: fc.tuple(name, tag).map((args) => deleteTag(...args)) },
  { weight: 2, arbitrary: fc.tuple(name, manifest).map((args) => deleteManifest(...args)) },
  { weight: 1, arbitrary: name.map((which) => deleteRepository(which)) },
);

/** What is counted with each change is what is there. */
async function assertCounted({ repositories }: TestService['service']['metadata'], prefix: string, model: Model) {
  for (const each of model.names) {
    const { counted, right } = await repositories.counts(parseRepositoryName(prefix + each));
    assert.deepEqual(counted, right, each);
  }
}

/** Where every walk begins: an image, and the refusal to take a layer away from it. */
const OPENING = [pushBlob('a', 0), pushBlob('a', 2), pushManifest('a', 0, 'latest'), deleteBlob('a', 2)];

/** Everything that can be read agrees with the model. */
async function assertAgrees(client: Client, prefix: string, model: Model): Promise<void> {
  const names = (await repositoriesOf(client)).filter((each) => each.startsWith(prefix));
  assert.deepEqual(
    names,
    model.names.map((each) => prefix + each),
  );
  for (const each of REPOSITORIES) await assertRepositoryAgrees(client, `/v2/${prefix}${each}`, model, each);
}

async function assertRepositoryAgrees(client: Client, path: string, model: Model, which: string): Promise<void> {
  const state = model.find(which);
  const list = await client.get(`${path}/tags/list`);
  assert.equal(list.status, state === undefined ? 404 : 200);
  if (state !== undefined) assert.deepEqual((list.json() as { tags: string[] }).tags, [...state.tags.keys()].sort());
  for (const each of TAGS) {
    const target = state?.tags.get(each);
    const answer = await client.get(`${path}/manifests/${each}`);
    assert.equal(answer.status, target === undefined ? 404 : 200);
    if (target !== undefined) assert.equal(answer.text, manifestOf(target).text);
  }
  for (const [index, { digest }] of MANIFESTS.entries()) {
    const expected = state?.manifests.has(index) === true ? 200 : 404;
    assert.equal((await client.head(`${path}/manifests/${digest}`)).status, expected, `manifest ${index}`);
    const referrers = (await client.get(`${path}/referrers/${digest}`)).json() as { manifests: { digest: string }[] };
    const those = MANIFESTS.filter((other, i) => other.subject === digest && state?.manifests.has(i) === true);
    assert.deepEqual(
      new Set(referrers.manifests.map((each) => each.digest)),
      new Set(those.map((each) => each.digest)),
    );
  }
  for (const [index, content] of BLOBS.entries()) {
    const answer = await client.get(`${path}/blobs/${blobDigest(index)}`);
    assert.equal(answer.status, state?.blobs.has(index) === true ? 200 : 404, `blob ${index}`);
    if (answer.status === 200) assert.equal(answer.text, content);
  }
}

describeOnDrivers('any walk through pushes and deletions', (setup) => {
  it('agrees with a plain model after each step', async () => {
    let walks = 0;
    const property = fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 20 }), async (steps) => {
      // A repository is not empty before the first step of another walk: names of its own.
      const prefix = `walk${walks++}/`;
      const model = new Model();
      for (const { text, apply } of [...OPENING, ...steps]) {
        const { answer, expected } = await apply(setup.client, prefix, model);
        assert.equal(answer.status, expected, `${text}: ${answer.text}`);
        await assertAgrees(setup.client, prefix, model);
        await assertCounted(setup.service.service.metadata, prefix, model);
      }
    });
    await fc.assert(property, { numRuns: 12 });
    assert.ok(walks >= 12);
  });
});
