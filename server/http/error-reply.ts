import { RegistryError } from '../../oci/errors.ts';
import { StorageError } from '../../storage/blobs/driver.ts';
import { jsonReply, type JsonReply } from './exchange.ts';

const RETRY_AFTER_SECONDS = '5';

/**
 * What a client is told of any error: the only place that decides it. Storage trouble is 503, whatever the driver says
 * of it; an error that nobody foresaw is 500 and says nothing.
 */
export function asRegistryError(error: unknown): RegistryError {
  if (error instanceof RegistryError) return error;
  if (error instanceof StorageError) {
    const reason = error.failure === 'full' ? 'the store is full' : 'the store does not answer as it should';
    return new RegistryError('UNAVAILABLE', {
      detail: { reason },
      headers: { 'Retry-After': RETRY_AFTER_SECONDS },
      cause: error,
    });
  }
  return new RegistryError('UNKNOWN', { cause: error });
}

/** The spec's JSON form ("Error Codes"). */
export function errorReply(error: RegistryError): JsonReply {
  const { code, message, detail } = error;
  const body = { errors: [detail === undefined ? { code, message } : { code, message, detail }] };
  return jsonReply(error.status, body, error.headers);
}
