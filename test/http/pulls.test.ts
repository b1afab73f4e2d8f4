import assert from 'node:assert/strict';
import { it } from 'node:test';
import { parseTag } from '../../oci/names.ts';
import { imageOf, manifestPush, name, pushBlob } from '../harness/registry.ts';
import { describeService, type Setup } from './suite.ts';

describeService('pulls', {}, (setup) => {
  const ways: readonly (readonly [string, 'GET' | 'HEAD', 'tag' | 'digest', boolean])[] = [
    ['by a tag', 'GET', 'tag', true],
    ['by a digest', 'GET', 'digest', true],
    ['that ask by a tag whether it has moved', 'HEAD', 'tag', true],
    ['are not what a push asks first', 'HEAD', 'digest', false],
  ];
  for (const [label, method, way, isPull] of ways) {
    it(`${label} ${isPull ? 'are remembered' : ''}`, async () => {
      const repository = `${method}/${way}`.toLowerCase();
      const digest = await pushImage(setup, repository);
      const before = Date.now();
      const reference = way === 'tag' ? 'latest' : digest;
      await setup.client.send(method, `/v2/${repository}/manifests/${reference}`);
      const { registry, metadata } = setup.service.service;
      await registry.pulls.flush();
      const id = (await metadata.repositories.find(name(repository)))?.id ?? assert.fail();
      const [tag] = await metadata.retention.tags(id, '', 1);
      const [manifest] = await metadata.retention.manifests(id, '', 1);
      if (isPull) assert.ok((tag?.pulledAt ?? 0) >= before);
      else assert.equal(tag?.pulledAt, undefined);
      // Who does not pull may rely on it for what he pushes next.
      assert.equal((manifest?.promisedAt ?? 0) >= before, !isPull);
    });
  }
});

async function pushImage({ service: { service } }: Setup, repository: string): Promise<string> {
  const config = await pushBlob(service.registry, name(repository), '{}');
  assert.ok(config);
  const pushed = await service.registry.manifests.put(
    manifestPush(name(repository), parseTag('latest'), imageOf('{}')),
  );
  return pushed.digest;
}
