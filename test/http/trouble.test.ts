import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { StorageFailure } from '../../storage/blobs/driver.ts';
import { faulty, type Fault, type FaultyOperation } from '../harness/faulty-driver.ts';
import { startService } from '../harness/service.ts';
import { Client, type Answer } from './client.ts';
import {
  bytesOf,
  digestOf,
  imageManifest,
  openUpload,
  pushBlob,
  pushImage,
  putManifest,
  repositoriesOf,
  tagsOf,
  withQuery,
} from './content.ts';
import { parseAnswers, RawConnection } from './raw.ts';
import { assertRefused } from './refusal.ts';

const LARGE = bytesOf(3_000_000, 'read in pieces');

/** A service whose store fails as the plan says, from when the test puts something into it. */
async function troubled(driver: 'memory' | 'filesystem') {
  const plan: Fault[] = [];
  const log: { faults: readonly Fault[] } = { faults: [] };
  const decorate = (plain: Parameters<typeof faulty>[0]) => {
    const wrapped = faulty(plain, plan);
    Object.defineProperty(log, 'faults', { get: () => wrapped.faults });
    return wrapped;
  };
  const service = await startService({ driver, parts: { decorate } });
  const client = new Client(service.url);
  return {
    client,
    service,
    /** Lets `operation` fail while `work` runs. */
    during: async <T>(operation: FaultyOperation, failure: StorageFailure, work: () => Promise<T>): Promise<T> => {
      const before = log.faults.length;
      plan.push({ operation, failure });
      try {
        return await work();
      } finally {
        plan.length = 0;
        assert.ok(log.faults.length > before, `${operation} was never called`);
      }
    },
    async [Symbol.asyncDispose]() {
      client.close();
      await service[Symbol.asyncDispose]();
    },
  };
}

function assertUnavailable(answer: Answer, reason: RegExp): void {
  assertRefused(answer, 503, 'UNAVAILABLE', reason);
  assert.ok(Number(answer.header('Retry-After')) > 0);
  assert.ok(!answer.text.includes('planned'), 'the message of the driver got out');
}

for (const driver of ['memory', 'filesystem'] as const) {
  describe(`a store in trouble (${driver})`, () => {
    for (const [failure, reason] of [
      ['unavailable', /does not answer as it should/],
      ['full', /the store is full/],
    ] as const) {
      it(`pushes are answered with 503 when it is ${failure}, and work again afterwards`, async () => {
        await using setup = await troubled(driver);
        const { client, during } = setup;
        const pushes = [
          [LARGE, ['stage', 'append', 'commit']],
          [Buffer.from('a small blob'), ['writeAll']],
        ] as const;
        for (const [content, operations] of pushes) {
          const digest = digestOf(content);
          const post = () => client.post(`/v2/trouble/blobs/uploads/?digest=${digest}`, content);
          for (const operation of operations) {
            assertUnavailable(await during(operation, failure, post), reason);
            assertRefused(await client.get(`/v2/trouble/blobs/${digest}`), 404, 'BLOB_UNKNOWN');
          }
          assert.equal((await post()).status, 201);
          assert.ok((await client.get(`/v2/trouble/blobs/${digest}`)).bytes.equals(content));
        }
        await pushBlob(client, 'trouble', '{}');
        const manifest = imageManifest('{}', []);
        const put = () => putManifest(client, 'trouble', 'v1', manifest);
        assertUnavailable(await during('writeAll', failure, put), reason);
        assertRefused(await client.get('/v2/trouble/manifests/v1'), 404, 'MANIFEST_UNKNOWN');
        assert.deepEqual(await tagsOf(client, 'trouble'), []);
        assert.equal((await put()).status, 201);
        assert.equal((await client.get('/v2/trouble/manifests/v1')).text, manifest);
      });

      it(`an upload can go on after its store was ${failure}`, async () => {
        await using setup = await troubled(driver);
        const { client, during } = setup;
        const location = await openUpload(client, 'upload');
        await client.patch(location, 'first ');
        assertUnavailable(await during('append', failure, () => client.patch(location, 'second ')), reason);
        const status = await client.get(location);
        assert.equal(status.header('Range'), '0-5');
        assert.equal((await client.patch(location, 'second', { 'Content-Range': '6-11' })).status, 202);
        const close = () => client.put(withQuery(location, `digest=${digestOf('first second')}`));
        assertUnavailable(await during('commit', failure, close), reason);
        assert.equal((await close()).status, 201);
        assert.equal((await client.get(`/v2/upload/blobs/${digestOf('first second')}`)).text, 'first second');
      });
    }

    it('deletions are answered with 503, and nothing counts as deleted', async () => {
      await using setup = await troubled(driver);
      const { client, during } = setup;
      const image = await pushImage(client, 'deletions', 'v1');
      const spare = await pushBlob(client, 'deletions', 'spare');
      const paths = [
        '/v2/deletions/manifests/v1',
        `/v2/deletions/manifests/${image.digest}`,
        `/v2/deletions/blobs/${spare}`,
      ];
      for (const path of [...paths, '/api/v1/repositories/deletions']) {
        assertUnavailable(await during('delete', 'unavailable', () => client.delete(path)), /does not answer/);
      }
      for (const path of paths) assert.equal((await client.get(path)).status, 200, path);
    });

    it('reads are answered with 503, never with 404', async () => {
      await using setup = await troubled(driver);
      const { client, during, service } = setup;
      const digest = await pushBlob(client, 'reads', LARGE);
      const path = `/v2/reads/blobs/${digest}`;
      const small = await pushBlob(client, 'reads', 'small');
      const reads = [
        ['read', () => client.get(path)],
        ['read', () => client.get(path, { Range: 'bytes=5-9' })],
        ['readSmall', () => client.get(`/v2/reads/blobs/${small}`)],
      ] as const;
      for (const [operation, read] of reads) {
        assertUnavailable(await during(operation, 'unavailable', read), /does not answer/);
      }
      assert.ok((await client.get(path)).bytes.equals(LARGE));
      assert.ok(
        service.log.lines.some(({ level, fields }) => level === 'warn' && String(fields['err']).includes('planned')),
      );
    });

    it('an answer that breaks off is never taken for the whole', async () => {
      await using setup = await troubled(driver);
      const { client, during, service } = setup;
      const digest = await pushBlob(client, 'breaks', LARGE);
      const received = await during('fill', 'unavailable', async () => {
        await using connection = new RawConnection(service.port);
        connection.write(`GET /v2/breaks/blobs/${digest} HTTP/1.1\r\nHost: a\r\n\r\n`);
        return await connection.untilClosed();
      });
      assert.deepEqual(parseAnswers(received), []);
      await assert.rejects(during('fill', 'truncated', () => client.get(`/v2/breaks/blobs/${digest}`)));
      assert.ok((await client.get(`/v2/breaks/blobs/${digest}`)).bytes.equals(LARGE));
    });

    it('a mount is answered with 503', async () => {
      await using setup = await troubled(driver);
      const { client, during } = setup;
      const digest = await pushBlob(client, 'mount/from', 'x');
      const mount = () => client.post(`/v2/mount/to/blobs/uploads/?mount=${digest}&from=mount/from`);
      for (const operation of ['stat', 'writeAll'] as const) {
        assertUnavailable(await during(operation, 'unavailable', mount), /does not answer/);
      }
      assertRefused(await client.get(`/v2/mount/to/blobs/${digest}`), 404, 'BLOB_UNKNOWN');
      assert.equal((await mount()).status, 201);
      assert.deepEqual(await repositoriesOf(client), ['mount/from', 'mount/to']);
    });
  });
}
