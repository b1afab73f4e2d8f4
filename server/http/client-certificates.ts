import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { CertificateUser } from '../auth/certificate-user.ts';
import { userNamedBy, type NamedBy } from './certificate-name.ts';

/** What was read of a certificate; of the dates, the milliseconds since 1970. */
interface Read {
  readonly named: CertificateUser;
  readonly validFrom: number;
  readonly validTo: number;
}

const NONE = 'none';

/** The certificates that clients show, over the TLS of our own server. */
export class ClientCertificates {
  readonly #namedBy: NamedBy;
  readonly #now: () => number;
  readonly #read = new WeakMap<Socket, Read | typeof NONE>();
  /** Counts how often an authority was taken away. */
  #era = 0;
  readonly #eras = new WeakMap<Socket, number>();
  #server: Server | undefined;

  constructor(namedBy: NamedBy, now: () => number = Date.now) {
    this.#namedBy = namedBy;
    this.#now = now;
  }

  /**
   * Whom the other end of a connection has shown to be.
   *
   * OpenSSL looks at a certificate once, when the connection begins, and connections live for days: what can change
   * meanwhile is looked at each time.
   */
  userOf(socket: Socket): CertificateUser | undefined {
    if (!isTls(socket)) return undefined;
    const read = this.#read.get(socket) ?? this.#look(socket);
    if (read === NONE) return undefined;
    if ('fault' in read.named) return read.named;
    if (this.#isOutdated(socket)) return notBelieved('the authorities have changed since: connect again');
    if (this.#now() > read.validTo) return notBelieved(REASONS['CERT_HAS_EXPIRED']);
    if (this.#now() < read.validFrom) return notBelieved(REASONS['CERT_NOT_YET_VALID']);
    return { ...read.named, validTo: read.validTo };
  }

  /** To be called before it listens. */
  watch(server: Server): void {
    this.#server = server;
    const beginnings = new Map<string, { readonly era: number }>();
    // The bare connection: its handshake looks at the authorities of this moment, and may end long after.
    server.on('connection', (socket: Socket) => {
      const [ends, beginning] = [endsOf(socket), { era: this.#era }];
      beginnings.set(ends, beginning);
      socket.once('close', () => {
        if (beginnings.get(ends) === beginning) beginnings.delete(ends);
      });
    });
    server.on('secureConnection', (socket: Socket) => {
      const beginning = beginnings.get(endsOf(socket));
      if (beginning !== undefined) this.#eras.set(socket, beginning.era);
    });
    server.prependListener('request', ({ socket }: IncomingMessage, response: ServerResponse) => {
      if (this.#isOutdated(socket)) response.setHeader('Connection', 'close');
    });
  }

  /** Believes no certificate of a connection that is there: an authority was taken away. */
  distrustConnections(): void {
    this.#era += 1;
    this.#server?.closeIdleConnections();
  }

  #isOutdated(socket: Socket): boolean {
    return this.#eras.get(socket) !== this.#era;
  }

  #look(socket: TLSSocket): Read | typeof NONE {
    const certificate = socket.getPeerX509Certificate();
    const read =
      certificate === undefined
        ? NONE
        : {
            named: refusalOf(socket) ?? userNamedBy(certificate, this.#namedBy),
            validFrom: certificate.validFromDate.getTime(),
            validTo: certificate.validToDate.getTime(),
          };
    this.#read.set(socket, read);
    return read;
  }
}

function isTls(socket: Socket): socket is TLSSocket {
  return 'encrypted' in socket;
}

/** Distinguishes open connections, also the TLS one from others and not from the bare one that it goes over. */
function endsOf({ remoteAddress, remotePort, localAddress }: Socket): string {
  return `${remoteAddress} ${remotePort} ${localAddress}`;
}

const NOT_OURS = 'none of the authorities of this registry issued it';

const REASONS = {
  CERT_HAS_EXPIRED: 'it has expired',
  CERT_NOT_YET_VALID: 'it is not valid yet',
  INVALID_PURPOSE: 'it is not meant for clients (extended key usage)',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'it signed itself',
  SELF_SIGNED_CERT_IN_CHAIN: NOT_OURS,
  UNABLE_TO_GET_ISSUER_CERT: NOT_OURS,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: NOT_OURS,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: NOT_OURS,
} as const;

function refusalOf(socket: TLSSocket): CertificateUser | undefined {
  // A ticket would vouch for it instead of OpenSSL, which has then not looked. Our servers give none (tls.ts).
  if (socket.isSessionReused()) return notBelieved('the connection goes on with an earlier session: begin a new one');
  if (socket.authorized) return undefined;
  // A word, though the types say that it is an Error.
  const code = String(socket.authorizationError);
  return notBelieved(Object.entries(REASONS).find(([name]) => name === code)?.[1] ?? code);
}

function notBelieved(why: string): CertificateUser {
  return { fault: `the client certificate is not believed: ${why}` };
}
