import { createHash, type KeyObject, type X509Certificate } from 'node:crypto';
import type { JwtHeader } from 'jsonwebtoken';

/*
 * How tokens name the key that signed them.
 */

/**
 * The name in a token's header: `kid`, or the certificate that it brings along. That one is compared with those that are
 * known, and never believed.
 */
export function keyIdOf({ kid, x5c }: JwtHeader): string | undefined {
  if (typeof kid === 'string') return kid;
  const [leaf] = Array.isArray(x5c) ? x5c : [x5c];
  return typeof leaf === 'string' ? certificateId(Buffer.from(leaf, 'base64')) : undefined;
}

/** Every name that an issuer may give the key of a certificate of Distribution's `rootcertbundle`. */
export function idsOfCertificate({ publicKey, raw }: X509Certificate): readonly string[] {
  return [certificateId(raw), libtrustId(publicKey), thumbprintOf(publicKey)];
}

/** RFC 7638, of an EC or RSA key. */
export function thumbprintOf(publicKey: KeyObject): string {
  const { crv, e, kty, n, x, y } = publicKey.export({ format: 'jwk' });
  // Section 3.2: these members, in this order.
  const members = kty === 'RSA' ? { e, kty, n } : { crv, kty, x, y };
  return createHash('sha256').update(JSON.stringify(members)).digest('base64url');
}

function certificateId(der: Buffer): string {
  return `x5c:${createHash('sha256').update(der).digest('base64url')}`;
}

const BASE32 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
const LIBTRUST_BYTES = 30;

/** Of the SHA-256 of the key's DER the first 240 bits in base32 (RFC 4648), in groups of four with colons between them. */
function libtrustId(publicKey: KeyObject): string {
  const hash = createHash('sha256')
    .update(publicKey.export({ type: 'spki', format: 'der' }))
    .digest();
  const bits = [...hash.subarray(0, LIBTRUST_BYTES)].map((byte) => byte.toString(2).padStart(8, '0')).join('');
  const letters = (bits.match(/.{5}/g) ?? []).map((group) => BASE32[Number.parseInt(group, 2)]).join('');
  return (letters.match(/.{4}/g) ?? []).join(':');
}
