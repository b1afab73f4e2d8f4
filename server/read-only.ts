import { setTimeout as delay } from 'node:timers/promises';
import type { Metadata } from '../storage/metadata/metadata.ts';

/** Whether the registry takes changes, for all its processes and for commands beside them. */
export interface ReadOnly {
  get(): Promise<boolean>;
  /** Every process goes by it when it resolves. */
  set(on: boolean): Promise<void>;
}

type State = Pick<Metadata['state'], 'get' | 'set'>;

// A process asks the index at most this often: each push would ask twice otherwise.
const HEARD_AFTER_MS = 100;
// Timers may be early by one.
const MARGIN_MS = 10;

/** @param isConfigured it is read-only by the configuration, whatever the index says */
export function createReadOnly(state: State, isConfigured: boolean): ReadOnly {
  let known: { readonly at: number; readonly isOn: Promise<boolean> } | undefined;
  const ask = async () => (await state.get('read-only')) === 'on';
  return {
    get: async () => {
      if (isConfigured) return true;
      const now = performance.now();
      if (known === undefined || now - known.at >= HEARD_AFTER_MS) known = { at: now, isOn: ask() };
      try {
        return await known.isOn;
      } catch (error) {
        known = undefined;
        throw error;
      }
    },
    set: async (on) => {
      await state.set('read-only', on ? 'on' : 'off');
      await delay(HEARD_AFTER_MS + MARGIN_MS);
    },
  };
}
