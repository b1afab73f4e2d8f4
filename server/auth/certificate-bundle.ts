import { X509Certificate } from 'node:crypto';
import { certificateBlocks } from '../http/tls-file.ts';

/** The certificates of a PEM file, in their order. @throws Error when there is none, or one cannot be read */
export function parseCertificates(pem: string): readonly X509Certificate[] {
  const blocks = certificateBlocks(pem);
  if (blocks.length === 0) throw new Error('it holds no certificate: expected PEM, -----BEGIN CERTIFICATE-----');
  return blocks.map((block) => new X509Certificate(block));
}
