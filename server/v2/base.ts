import { jsonReply, type Reply } from '../http/exchange.ts';

/** end-1: this is a registry. */
export function getBase(): Reply {
  return jsonReply(200, {});
}
