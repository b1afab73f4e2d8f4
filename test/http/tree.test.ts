import assert from 'node:assert/strict';
import { glob } from 'node:fs/promises';
import { it } from 'node:test';
import {
  bytesOf,
  digestOf,
  imageManifest,
  NOWHERE,
  openUpload,
  pushBlob,
  pushImage,
  putManifest,
  withQuery,
} from './content.ts';
import { RawConnection } from './raw.ts';
import { describeService } from './suite.ts';

const V2 = 'docker/registry/v2';

/** Where Distribution has the bytes of a digest. */
function dataOf(digest: string): string {
  const [algorithm, hex = ''] = digest.split(':');
  return `${V2}/blobs/${algorithm}/${hex.slice(0, 2)}/${hex}/data`;
}

function linkOf(name: string, kind: '_layers' | '_manifests/revisions', digest: string): string {
  return `${V2}/repositories/${name}/${kind}/${digest.replace(':', '/')}/link`;
}

/** Every file below `root` but ours in `.meta`. */
async function filesOf(root: string): Promise<readonly string[]> {
  const files: string[] = [];
  for await (const entry of glob('**', { cwd: root, withFileTypes: true })) {
    const file = `${entry.parentPath}/${entry.name}`.slice(root.length + 1);
    if (entry.isFile() && !file.startsWith('.meta/')) files.push(file);
  }
  return files.sort((a, b) => (a < b ? -1 : 1));
}

describeService('the tree after all kinds of refused and broken pushes', {}, (setup) => {
  const wrong = bytesOf(300_000, 'never what it says');

  it('has the files of what was acknowledged, and of open uploads, and no other', async () => {
    const { client, service } = setup;
    const image = await pushImage(client, 'good', 'v1');
    for (const content of ['small', wrong]) {
      const digests = [NOWHERE, 'sha256:x', '../../../../etc/passwd', digestOf(content).toUpperCase()];
      for (const digest of digests) {
        assert.ok((await client.post(`/v2/good/blobs/uploads/?digest=${digest}`, content)).status >= 400);
        const location = await openUpload(client, 'bad');
        assert.ok((await client.put(withQuery(location, `digest=${digest}`), content)).status >= 400);
        await client.delete(location);
      }
    }
    for (const tag of ['v1', '..', '%2e%2e', 'x'.repeat(200), '%00']) {
      assert.ok((await putManifest(client, 'good', tag, imageManifest('{}', ['missing']))).status >= 400);
    }
    for (const name of ['..', 'UPPER', 'a//b', '%2e%2e', '_layers', 'good/_manifests']) {
      assert.ok((await client.post(`/v2/${name}/blobs/uploads/?digest=${digestOf('x')}`, 'x')).status >= 400);
    }
    const open = await openUpload(client, 'open');
    await client.patch(open, wrong);
    const canceled = await openUpload(client, 'canceled');
    await client.patch(canceled, wrong);
    assert.equal((await client.delete(canceled)).status, 204);
    for (const target of [`POST /v2/good/blobs/uploads/?digest=${digestOf(wrong)}`, `PUT /v2/good/manifests/v3`]) {
      await using connection = new RawConnection(service.port);
      connection.write(`${target} HTTP/1.1\r\nHost: a\r\nContent-Length: 400000\r\n\r\n`);
      connection.write(wrong);
      connection.socket.end();
      await connection.untilClosed();
    }
    await pushBlob(client, 'deleted', 'short-lived');
    assert.equal((await client.delete('/api/v1/repositories/deleted')).status, 204);
    // A drained service has nothing under way.
    client.close();
    await service.drain();

    const files = await filesOf(service.root);
    const expected = [
      ...image.blobs.flatMap((blob) => [dataOf(blob), linkOf('good', '_layers', blob)]),
      dataOf(image.digest),
      linkOf('good', '_manifests/revisions', image.digest),
      `${V2}/repositories/good/_manifests/tags/v1/current/link`,
      `${V2}/repositories/good/_manifests/tags/v1/index/${image.digest.replace(':', '/')}/link`,
      // Of a deleted repository the bytes stay for the collector.
      dataOf(digestOf('short-lived')),
    ];
    const upload = `${V2}/repositories/open/_uploads/${open.split('/').at(-1)}/`;
    const others = files.filter((file) => !expected.includes(file));
    assert.ok(others.length > 0 && others.every((file) => file.startsWith(upload)), others.join('\n'));
    for (const file of expected) assert.ok(files.includes(file), file);
  });
});
