import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { connect, type AddressInfo } from 'node:net';
import { createServer } from 'node:tls';
import { after, before, describe, it } from 'node:test';
import { openS3Driver } from '../../storage/blobs/s3.ts';
import { AUTHORITY, certify, NO_OPENSSL, pairOf, type Certified } from '../harness/certificates.ts';
import { temporaryDirectory } from '../harness/process.ts';
import { keyOf, smallWrite, textAt } from '../contracts/blob-bytes.ts';
import { versitygw, type S3Server } from './s3-servers.ts';

describe('TLS to an S3 server', { skip: versitygw.missing || NO_OPENSSL }, () => {
  const opened = new AsyncDisposableStack();
  let s3: S3Server;
  let authority: Certified;
  let other: Certified;
  let endpoint: string;

  before(async () => {
    const { path: directory } = opened.use(await temporaryDirectory());
    s3 = opened.use(await versitygw.start());
    authority = await certify(directory, 'authority', { extensions: AUTHORITY });
    other = await certify(directory, 'other', { extensions: AUTHORITY });
    const server = await certify(directory, 'server', { issuer: authority, names: ['DNS.1 = localhost'] });
    endpoint = `https://localhost:${await terminate(await pairOf(server))}`;
  });
  after(() => opened.disposeAsync());

  /** What takes the encryption off before the server. @returns its port */
  async function terminate(pair: { readonly cert: string; readonly key: string }): Promise<number> {
    const port = Number(new URL(s3.options.endpoint ?? '').port);
    const server = createServer(pair, (socket) => {
      const onward = connect(port, '127.0.0.1');
      for (const each of [socket, onward]) each.on('error', () => each.destroy());
      socket.pipe(onward).pipe(socket);
      socket.on('close', () => onward.destroy());
      onward.on('close', () => socket.destroy());
    });
    server.on('tlsClientError', () => {});
    server.listen(0, 'localhost');
    await once(server, 'listening');
    opened.defer(() => void server.close());
    return (server.address() as AddressInfo).port;
  }

  async function openWith(authorities: Certified | undefined) {
    const pem = authorities && (await readFile(authorities.certificate, 'utf8'));
    return openS3Driver({ ...s3.options, endpoint, authorities: pem });
  }

  it('works with the authority that signed its certificate', async () => {
    const driver = await openWith(authority);
    await driver.writeAll([smallWrite('a/link', 'over TLS')]);
    assert.equal(await textAt(driver, 'a/link'), 'over TLS');
    await driver.close();
  });

  it('sends nothing to one whose certificate another authority signed', async () => {
    for (const wrong of [other, undefined]) {
      const driver = await openWith(wrong);
      await assert.rejects(driver.writeAll([smallWrite('b/link', 'to whomever')]), {
        name: 'StorageError',
        message: /certificate/,
      });
      await driver.close();
    }
    const driver = await openWith(authority);
    assert.equal(await driver.stat(keyOf('b/link')), undefined);
    await driver.close();
  });
});
