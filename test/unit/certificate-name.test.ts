import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { after, before, describe, it } from 'node:test';
import { userNamedBy, type NamedBy } from '../../server/http/certificate-name.ts';
import { certify, NO_OPENSSL, type CertifiedOptions } from '../harness/certificates.ts';
import { temporaryDirectory } from '../harness/process.ts';

const uri = (length: number) => `x:${'y'.repeat(length - 2)}`;

/** The user, or what is said of nobody. */
const named = (certificate: X509Certificate, part: NamedBy) => {
  const shown = userNamedBy(certificate, part);
  if ('user' in shown) return `user ${shown.user}`;
  assert.match(shown.fault, /^the client certificate names nobody: .+ \(access\.certificateUser\)$/);
  return shown.fault.replace(/^.*nobody: | \(.*$/g, '');
};

describe('the user that a certificate names', { skip: NO_OPENSSL }, () => {
  const stack = new AsyncDisposableStack();
  let directory: string;

  before(async () => void (directory = stack.use(await temporaryDirectory()).path));
  after(() => stack.disposeAsync());

  let count = 0;
  const make = async (options: CertifiedOptions) => {
    const { certificate } = await certify(directory, `c${(count += 1)}`, options);
    return new X509Certificate(await readFile(certificate));
  };
  const ofSubject = async (subject: string) => named(await make({ subject }), 'commonName');
  const ofNames = async (part: NamedBy, ...names: readonly string[]) => named(await make({ names }), part);

  it('is the common name, when there is exactly one', async () => {
    assert.equal(await ofSubject('/O=dev/CN=alice'), 'user alice');
    assert.equal(await ofSubject('/CN=Zoë Müller'), 'user Zoë Müller');
    assert.equal(await ofSubject('/CN=anonymous'), 'user anonymous');
    assert.equal(await ofSubject('/O=dev'), 'it has no commonName');
    assert.equal(await ofSubject('/O=dev/CN='), 'it has no commonName');
    assert.equal(await ofSubject('/CN=alice/CN=root'), 'it has 2 values of commonName, and no more than one is taken');
    assert.match(await ofSubject('/CN=alice+CN=root'), /^it has 2 values/);
    assert.equal(await ofSubject('/O=x\\/CN=root/CN=alice'), 'user alice');
    assert.equal(await ofSubject('/emailAddress=CN=root/CN=alice'), 'user alice');
  });

  it('has no characters that nobody sees, and no star', async () => {
    const unfit = 'its commonName is none that a user can have';
    const names = ['alice\nCN=root', 'alice\u007F', 'al\u200Bice', '\u202Eecila', ' alice', 'alice ', '*', 'a\uFFFD'];
    for (const name of names) assert.equal(await ofSubject(`/CN=${name}`), unfit, JSON.stringify(name));
  });

  it('does not end at a NUL', async () => {
    const { raw } = await make({ subject: '/CN=root.evil' });
    const place = raw.lastIndexOf('root.evil');
    assert.ok(place > 0);
    raw.writeUInt8(0, place + 'root'.length);
    assert.equal(named(new X509Certificate(raw), 'commonName'), 'its commonName is none that a user can have');
  });

  it('has at most 255 characters', async () => {
    assert.equal(await ofNames('uri', `URI.1 = ${uri(255)}`), `user ${uri(255)}`);
    assert.equal(await ofNames('uri', `URI.1 = ${uri(256)}`), 'its uri is over 255 characters');
  });

  it('is one of the alternative names, when there is exactly one of its kind', async () => {
    const all = [
      'email.1 = alice@example.com',
      'DNS.1 = build.example.com',
      'URI.1 = spiffe://example.com/ci',
      'IP.1 = ::1',
    ];
    assert.equal(await ofNames('email', ...all), 'user alice@example.com');
    assert.equal(await ofNames('dns', ...all), 'user build.example.com');
    assert.equal(await ofNames('uri', ...all), 'user spiffe://example.com/ci');
    assert.equal(await ofNames('email', ...all.slice(1)), 'it has no email');
    assert.match(await ofNames('email', ...all, 'email.2 = root@example.com'), /^it has 2 values of email/);
    assert.equal(await ofNames('dns'), 'it has no dns');
    assert.equal(await ofNames('dns', 'DNS.1 = *.example.com'), 'its dns is none that a user can have');
  });

  it('is not smuggled into another name', async () => {
    const unfit = /is none that a user can have$/;
    assert.match(await ofNames('dns', 'DNS.1 = a.com\\, DNS:root'), unfit);
    assert.match(await ofNames('email', 'DNS.1 = a.com\\, email:root@x'), /^it has no email$/);
    assert.match(await ofNames('email', 'DNS.1 = a.com\\", email:root@x'), /^it has no email$/);
    assert.match(await ofNames('dns', 'DNS.1 = a\\nDNS:root'), unfit);
    assert.match(await ofNames('email', 'email.1 = alicé@x'), unfit);
    assert.equal(await ofNames('uri', 'URI.1 = x:a\\,URI:root'), 'user x:a,URI:root');
    const other = 'otherName.1 = 1.3.6.1.4.1.311.20.2.3;UTF8:alice@x\\, email:root@x';
    assert.equal(await ofNames('email', other), 'it has no email');
    assert.equal(await ofNames('email', other, 'email.1 = alice@x'), 'user alice@x');
    const directoryName = ['dirName.1 = inner', 'email.1 = alice@x', '[inner]', 'CN = a\\, email:root@x'];
    assert.equal(await ofNames('email', ...directoryName), 'user alice@x');
    assert.equal(await ofNames('email', 'RID.1 = 1.2.3.4', 'email.1 = alice@x'), 'user alice@x');
  });
});
