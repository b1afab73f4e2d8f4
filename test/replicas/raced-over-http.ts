import assert from 'node:assert/strict';
import type { Digest } from '../../oci/digest.ts';
import { RegistryError } from '../../oci/errors.ts';
import type { RepositoryName } from '../../oci/names.ts';
import { EVERYTHING } from '../../registry/rights.ts';
import type { Answer, Client } from '../faults/client.ts';
import { sha256 } from '../faults/content.ts';
import type { Image, RacedRegistry } from '../faults/race-pusher.ts';
import { digestOfText } from '../harness/registry.ts';
import type { TestService } from '../harness/service.ts';

// As docker sends all of them.
const DIGEST_LAST_FROM = 1024 * 1024;
const BYTES = { 'Content-Type': 'application/octet-stream' };
const MANIFEST = { 'Content-Type': 'application/vnd.oci.image.manifest.v1+json' };

/**
 * Servers behind a balancer, as clients see them.
 *
 * @param services what brings something back: that is no part of the protocol
 */
export function racedOverHttp(client: Client, services: readonly TestService[]): RacedRegistry {
  let asked = 0;
  return {
    pushBlob: async (repository, content) => {
      const opened = await send(client, 202, 'POST', uploads(repository));
      const sending = { headers: BYTES, body: Buffer.from(content) };
      const query = `?digest=${digestOfText(content)}`;
      if (content.length < DIGEST_LAST_FROM) return send(client, 201, 'PUT', opened.headers.location + query, sending);
      const taken = await send(client, 202, 'PATCH', opened.headers.location ?? '', sending);
      return send(client, 201, 'PUT', taken.headers.location + query);
    },
    hasBlob: async (repository, digest) => {
      const { status } = await client.send('HEAD', blob(repository, digest));
      assert.ok(status === 200 || status === 404, `HEAD of ${digest}: ${status}`);
      return status === 200;
    },
    mountBlob: async (repository, digest, from) => {
      const { status, body } = await client.send('POST', `${uploads(repository)}?mount=${digest}&from=${from}`);
      assert.ok(status === 201 || status === 202, `mount of ${digest}: ${status} ${body.toString()}`);
      return status === 201;
    },
    putManifest: async (repository, tag, bytes) => {
      const sending = { headers: MANIFEST, body: Buffer.from(bytes) };
      const { status, body } = await client.send('PUT', `/v2/${repository}/manifests/${tag}`, sending);
      if (status === 201) return true;
      assert.match(`${status} ${body.toString()}`, /^404 .*MANIFEST_BLOB_UNKNOWN/);
      return false;
    },
    deleteManifest: async (repository, digest) => {
      await send(client, 202, 'DELETE', `/v2/${repository}/manifests/${digest}`);
    },
    restore: async ({ repository, tag, digest }) => {
      const service = services[asked++ % services.length];
      try {
        await service?.service.registry.undo.restore({ name: repository, tag, digest, rights: EVERYTHING });
        return true;
      } catch (error) {
        if (!(error instanceof RegistryError) || error.code !== 'MANIFEST_UNKNOWN') throw error;
        return false;
      }
    },
    assertWhole: (image) => assertWhole(client, image),
  };
}

async function assertWhole(client: Client, { repository, digest, blobs }: Image): Promise<void> {
  const manifest = await send(client, 200, 'GET', `/v2/${repository}/manifests/${digest}`);
  assert.equal(sha256(manifest.body), digest);
  for (const content of blobs) {
    const { body } = await send(client, 200, 'GET', blob(repository, digestOfText(content)));
    assert.equal(body.toString(), content, `a blob of ${digest}`);
  }
}

async function send(client: Client, status: number, ...request: Parameters<Client['send']>): Promise<Answer> {
  const answer = await client.send(...request);
  assert.equal(answer.status, status, `${request[0]} ${request[1]}: ${answer.body.toString()}`);
  return answer;
}

const uploads = (repository: RepositoryName) => `/v2/${repository}/blobs/uploads/`;
const blob = (repository: RepositoryName, digest: Digest) => `/v2/${repository}/blobs/${digest}`;
