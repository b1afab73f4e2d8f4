import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { it } from 'node:test';
import { parseUploadId } from '../../oci/names.ts';
import { bytesOf, digestOf, openUpload, repositoriesOf, withQuery } from './content.ts';
import { assertHas, assertHasNot } from './held-blobs.ts';
import { RawConnection } from './raw.ts';
import { assertRefused } from './refusal.ts';
import { describeOnDrivers, type Setup } from './suite.ts';
import { until } from './until.ts';

const CONTENT = bytesOf(10_000, 'an upload');
const DIGEST = digestOf(CONTENT);
const EMPTY = digestOf('');

/** Waits until a request works on the session, or none does. */
async function untilHeld({ service }: Setup, location: string, isHeld: boolean): Promise<void> {
  const id = parseUploadId(location.split('/').at(-1) ?? '');
  const { uploads } = service.service.metadata;
  await until(`a session ${isHeld ? 'in' : 'out of'} use`, async () => {
    return ((await uploads.find(id))?.holder !== undefined) === isHeld;
  });
}

describeOnDrivers('sessions', (setup) => {
  const attempts = async (location: string) => [
    await setup.client.get(location),
    await setup.client.patch(location, 'x'),
    await setup.client.put(withQuery(location, `digest=${DIGEST}`), CONTENT),
    await setup.client.delete(location),
  ];

  it('end-13 tells how far an upload got', async () => {
    const location = await openUpload(setup.client, 'status');
    await setup.client.patch(location, CONTENT.subarray(0, 1234));
    for (const method of ['GET', 'HEAD']) {
      const answer = await setup.client.send(method, location);
      assert.equal(answer.status, 204);
      assert.equal(answer.header('Range'), '0-1233');
      assert.equal(answer.header('Location'), location);
      assert.equal(answer.header('Docker-Upload-UUID'), location.split('/').at(-1));
    }
  });

  it('end-14 cancels one, and nobody can use it then', async () => {
    const location = await openUpload(setup.client, 'cancel');
    await setup.client.patch(location, CONTENT);
    assert.equal((await setup.client.delete(location)).status, 204);
    for (const answer of await attempts(location)) assertRefused(answer, 404, 'BLOB_UPLOAD_UNKNOWN');
    await assertHasNot(setup, 'cancel', DIGEST);
  });

  it('a finished one is unknown', async () => {
    const location = await openUpload(setup.client, 'finished');
    await setup.client.put(withQuery(location, `digest=${DIGEST}`), CONTENT);
    for (const answer of await attempts(location)) assertRefused(answer, 404, 'BLOB_UPLOAD_UNKNOWN');
    await assertHas(setup, 'finished', CONTENT);
  });

  it("another repository's is unknown", async () => {
    const location = await openUpload(setup.client, 'owner');
    await setup.client.patch(location, CONTENT);
    for (const answer of await attempts(location.replace('/owner/', '/thief/'))) {
      assertRefused(answer, 404, 'BLOB_UPLOAD_UNKNOWN', /another repository's/);
    }
    assert.equal((await setup.client.put(withQuery(location, `digest=${DIGEST}`))).status, 201);
  });

  it('one that never was is unknown', async () => {
    for (const answer of await attempts(`/v2/never/blobs/uploads/${randomUUID()}`)) {
      assertRefused(answer, 404, 'BLOB_UPLOAD_UNKNOWN');
    }
  });

  for (const id of ['x', randomUUID().toUpperCase(), `${randomUUID()}0`, '%00', '_state', DIGEST, 'a%20b', '...']) {
    it(`refuses the id ${id.slice(0, 40)}`, async () => {
      for (const answer of await attempts(`/v2/ids/blobs/uploads/${id}`)) {
        assert.ok(answer.status === 404 || answer.status === 400, answer.text);
        assertRefused(answer, answer.status, answer.status === 404 ? 'BLOB_UPLOAD_UNKNOWN' : 'NAME_INVALID');
      }
    });
  }

  it('gives one to one request at a time', async () => {
    const location = await openUpload(setup.client, 'busy');
    await using connection = new RawConnection(setup.service.port);
    connection.write(`PATCH ${location} HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345`);
    await untilHeld(setup, location, true);
    assertRefused(await setup.client.patch(location, ''), 409, 'BLOB_UPLOAD_INVALID', /another request/);
    assertRefused(await setup.client.put(withQuery(location, `digest=${EMPTY}`)), 409, 'BLOB_UPLOAD_INVALID');
    assertRefused(await setup.client.delete(location), 409, 'BLOB_UPLOAD_INVALID');
    assert.equal((await setup.client.get(location)).status, 204);
    connection.write('67890');
    await connection.receive((bytes) => bytes.includes('\r\n\r\n'));
    const digest = digestOf('1234567890');
    assert.equal((await setup.client.put(withQuery(location, `digest=${digest}`))).status, 201);
  });

  it('of many identical closing PUTs one finds the upload, and the blob is right', async () => {
    const location = await openUpload(setup.client, 'race');
    await setup.client.patch(location, CONTENT);
    const target = withQuery(location, `digest=${DIGEST}`);
    const answers = await Promise.all(Array.from({ length: 8 }, () => setup.client.put(target)));
    assert.equal(answers.filter(({ status }) => status === 201).length, 1);
    for (const answer of answers.filter(({ status }) => status !== 201)) {
      assertRefused(answer, answer.status, answer.status === 409 ? 'BLOB_UPLOAD_INVALID' : 'BLOB_UPLOAD_UNKNOWN');
    }
    await assertHas(setup, 'race', CONTENT);
  });

  it('of many closing PUTs with a whole blob each one gets the upload, and no other blob is there', async () => {
    const name = 'race-of-wholes';
    const location = await openUpload(setup.client, name);
    const contents = Array.from({ length: 8 }, (_, i) => bytesOf(100, `blob ${i}`));
    const put = (content: Buffer) => setup.client.put(withQuery(location, `digest=${digestOf(content)}`), content);
    const answers = await Promise.all(contents.map(put));
    for (const [i, answer] of answers.entries()) {
      const content = contents[i] ?? assert.fail();
      if (answer.status === 201) await assertHas(setup, name, content);
      else await assertHasNot(setup, name, digestOf(content));
    }
    assert.equal(answers.filter(({ status }) => status === 201).length, 1);
  });

  it('a body that breaks off leaves what came of it, and the upload goes on from there', async () => {
    const name = 'broken-off';
    const location = await openUpload(setup.client, name);
    {
      await using connection = new RawConnection(setup.service.port);
      connection.write(`PATCH ${location} HTTP/1.1\r\nHost: x\r\nContent-Length: 10000\r\n\r\n`);
      connection.write(CONTENT.subarray(0, 3000));
      await untilHeld(setup, location, true);
    }
    await untilHeld(setup, location, false);
    const status = await setup.client.get(location);
    const range = status.header('Range');
    const size = range === '0-0' ? 0 : Number(range.slice(2)) + 1;
    assert.ok(size <= 3000);
    await assertHasNot(setup, name, DIGEST);
    const rest = { 'Content-Range': `${size}-${CONTENT.length - 1}` };
    assert.equal((await setup.client.patch(location, CONTENT.subarray(size), rest)).status, 202);
    assert.equal((await setup.client.put(withQuery(location, `digest=${DIGEST}`))).status, 201);
    await assertHas(setup, name, CONTENT);
  });

  it('a closing PUT and a POST that break off make no blob', async () => {
    const name = 'broken-put';
    const location = await openUpload(setup.client, name);
    const targets = [
      `PUT ${withQuery(location, `digest=${DIGEST}`)}`,
      `POST /v2/${name}/blobs/uploads/?digest=${DIGEST}`,
    ];
    for (const target of targets) {
      await using connection = new RawConnection(setup.service.port);
      connection.write(`${target} HTTP/1.1\r\nHost: x\r\nContent-Length: 10001\r\n\r\n`);
      connection.write(CONTENT);
      connection.socket.end();
      await connection.untilClosed();
    }
    await assertHasNot(setup, name, DIGEST);
    assert.ok(!(await repositoriesOf(setup.client)).includes(name));
  });
});
