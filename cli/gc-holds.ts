import type { Config } from '../config/config.ts';
import type { CollectionHold } from '../storage/metadata/collection-holds.ts';
import { columns, minuteOf } from './columns.ts';
import { operatorName } from './operator-name.ts';
import { CommandFault, UsageError } from './usage.ts';
import { withIndex } from './with-index.ts';

const REASON_MAX = 300;

/**
 * `gc hold`: lets the collection of a store wait for an operator, beside a running server or without one.
 *
 * @param words the reason, if there are any
 * @returns what to tell the person
 * @throws CommandFault
 */
export async function holdCollection(config: Config, words: readonly string[]): Promise<string> {
  const reason = words.length === 0 ? 'an operator wants it so' : words.join(' ');
  if (reason.length > REASON_MAX) throw new UsageError(`a reason has at most ${REASON_MAX} characters.`);
  // Before this process becomes the owner of the store.
  const by = operatorName();
  return withIndex(config, async (metadata) => {
    const { holds } = metadata;
    await metadata.write('durable', (tx) => holds.add(tx, { reason, by, since: Date.now() }));
    return describeHolds(await holds.list()).join('\n');
  });
}

/**
 * `gc release`: what it waited for is over.
 *
 * @param ids all holds if there are none
 * @returns what to tell the person
 * @throws CommandFault for an id that none has
 */
export async function releaseCollection(config: Config, ids: readonly string[]): Promise<string> {
  return withIndex(config, async ({ holds }) => {
    const known = new Set((await holds.list()).map(({ id }) => id));
    const unknown = ids.filter((id) => !known.has(id));
    if (unknown.length > 0) {
      throw new CommandFault(`no hold is called ${unknown.join(' or ')}: "entrepot gc status" lists them`);
    }
    const released = await holds.release(ids.length === 0 ? undefined : ids);
    const left = describeHolds(await holds.list());
    return [
      ...released.map(({ reason, by, since }) => `released: ${reason} (${wanting(by)}, ${minuteOf(since)} UTC)`),
      ...(left.length === 0 ? ['garbage is collected again'] : left),
    ].join('\n');
  });
}

/** Why nothing is removed, who wants it so and since when; nothing where none holds. */
export function describeHolds(holds: readonly CollectionHold[]): readonly string[] {
  if (holds.length === 0) return [];
  const rows = holds.map(({ id, reason, by, since }) => [id, minuteOf(since), wanting(by), reason]);
  return [
    'nothing is removed until each of these is released: look at it, then: entrepot gc release [HOLD ...]',
    columns([['HOLD', 'SINCE (UTC)', 'BY', 'WHY'], ...rows]),
  ];
}

/** As JSON has it. */
export function shownHold({ id, reason, by, since }: CollectionHold): Readonly<Record<string, unknown>> {
  return { id, reason, by: by ?? null, since: new Date(since).toISOString() };
}

function wanting(by: string | undefined): string {
  return by ?? 'entrepot itself';
}
