import { X509Certificate } from 'node:crypto';
import { rootCertificates } from 'node:tls';
import { about, type Finding } from './finding.ts';

const chain = about('TLS chain');

/** The server's certificate and what follows it in the file. */
export type CertificateChain = readonly [X509Certificate, ...X509Certificate[]];

/** What is wrong with the order and the end of a chain; nothing when clients can follow it. */
export function chainFindings(certificates: CertificateChain): Finding[] {
  const broken = certificates.findIndex((certificate, index) => {
    const issuer = certificates[index + 1];
    return issuer !== undefined && !isIssuedBy(certificate, issuer);
  });
  if (broken !== -1) return [outOfOrder(certificates, broken)];
  const last = certificates.at(-1) ?? certificates[0];
  if (isIssuedBy(last, last)) return certificates.length === 1 ? [selfSigned(last)] : [];
  return isKnownRoot(last.issuer) ? [] : [openEnd(last)];
}

function isIssuedBy(certificate: X509Certificate, issuer: X509Certificate): boolean {
  return certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
}

function isKnownRoot(issuer: string): boolean {
  return rootCertificates.some((pem) => new X509Certificate(pem).subject === issuer);
}

function outOfOrder(certificates: CertificateChain, index: number): Finding {
  const [certificate, next] = certificates.slice(index);
  return chain.problem(
    `certificate ${index + 1} of the file (${oneLine(certificate?.subject)}) was not issued by certificate ` +
      `${index + 2} (${oneLine(next?.subject)})`,
    "Put the server's certificate first, then each issuer after what it issued.",
  );
}

function selfSigned(certificate: X509Certificate): Finding {
  return chain.warning(
    `${oneLine(certificate.subject)} signed itself: no client trusts it by itself`,
    'Give it to the clients: /etc/docker/certs.d/HOST:PORT/ca.crt for docker, /etc/containers/certs.d for podman.',
  );
}

function openEnd(certificate: X509Certificate): Finding {
  return chain.warning(
    `the chain ends with ${oneLine(certificate.subject)}, issued by ${oneLine(certificate.issuer)}, which is no public authority`,
    'If that is an intermediate, append its certificate to the file; if it is a private authority, give its certificate to the clients.',
  );
}

/** A distinguished name, which Node spells in lines. */
export function oneLine(name = ''): string {
  return name.replaceAll('\n', ', ');
}
