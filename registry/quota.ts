import { RegistryError } from '../oci/errors.ts';
import type { RepositoryName } from '../oci/names.ts';
import type { Queries, Transaction } from '../storage/metadata/database.ts';
import type { QuotaSum } from '../storage/metadata/quotas.ts';
import { countedBytes, type Usage } from '../storage/metadata/usage.ts';
import type { Digest } from '../oci/digest.ts';
import type { Context } from './context.ts';
import { createGlob } from './glob.ts';
import { intentKey, type Subject } from './intents.ts';
import { sizeText } from './size-text.ts';

const PAGE = 1_000;

/** How much there may be at most. */
export interface QuotaSettings {
  /** Patterns of repository names; any of them has to fit. */
  readonly repositories: readonly string[];
  /** Of blobs and manifests, each digest counted once in each repository. */
  readonly bytes?: number;
  readonly tags?: number;
  /** For each repository that fits, or for all of them together. */
  readonly per: 'repository' | 'rule';
}

/** A quota, ready to be asked. */
export interface Quota extends QuotaSettings {
  readonly fits: (name: RepositoryName) => boolean;
  /** Names the sum of a quota for several repositories in the index. */
  readonly patterns: string;
}

export function createQuotas(settings: readonly QuotaSettings[]): readonly Quota[] {
  return settings.map((quota) => {
    const globs = quota.repositories.map(createGlob);
    const fits = (name: RepositoryName) => globs.some((glob) => glob(name, undefined));
    return { ...quota, fits, patterns: JSON.stringify(quota.repositories.toSorted()) };
  });
}

/**
 * Refuses what does not fit into the quotas of a repository, and counts what does from now on: in the first transaction
 * of the change that adds it, whose lock on `subject` is held. The last one adds it to what the repository uses and gives
 * the lock back at once, so that it is counted once at any time, and two changes never share the last of the room.
 *
 * @param asked what the repository does not have yet
 * @throws RegistryError `DENIED` that says which quota, how full it is and what to do
 */
export async function reserveQuota(
  context: Context,
  tx: Transaction,
  name: RepositoryName,
  subject: Subject,
  asked: Usage,
): Promise<void> {
  if (context.settings.quotas.length === 0) return;
  await requireQuota(context, tx, name, asked);
  await context.metadata.intents.reserve(tx, intentKey(name, subject), asked);
}

/** `reserveQuota` without the reservation, for what is counted in the same transaction. */
export async function requireQuota(
  context: Context,
  tx: Transaction,
  name: RepositoryName,
  asked: Usage,
): Promise<void> {
  for (const quota of context.settings.quotas) {
    if (!concerns(quota, asked) || !quota.fits(name)) continue;
    const used = await usageOf(context, tx, quota, name, await caughtUp(context, tx, quota));
    const fault = faultOf(quota, used, asked);
    if (fault !== undefined) throw exceeds(quota, fault);
  }
}

/** For content that a repository may have already: then it takes no room. */
export async function reserveBytes(
  context: Context,
  tx: Transaction,
  name: RepositoryName,
  digest: Digest,
  size: number,
): Promise<void> {
  if (context.settings.quotas.length === 0) return;
  const repositoryId = await context.metadata.repositories.id(tx, name);
  const counted = repositoryId === undefined ? 0 : await countedBytes(tx, repositoryId, digest);
  await reserveQuota(context, tx, name, { layer: digest }, { bytes: Math.max(0, size - counted), tags: 0 });
}

/**
 * For a manifest and the tags that it is new under. Its bytes are counted as soon as it is entered as pending, in the same
 * transaction and behind this: only the tags have to be reserved.
 */
export async function reserveManifest(
  context: Context,
  tx: Transaction,
  push: {
    readonly name: RepositoryName;
    readonly repositoryId: number;
    readonly digest: Digest;
    readonly size: number;
    readonly tags: number;
  },
): Promise<void> {
  if (context.settings.quotas.length === 0) return;
  const { name, repositoryId, digest, size, tags } = push;
  const bytes = Math.max(0, size - (await countedBytes(tx, repositoryId, digest)));
  await requireQuota(context, tx, name, { bytes, tags });
  await context.metadata.intents.reserve(tx, intentKey(name, { manifest: digest }), { bytes: 0, tags });
}

/**
 * Refuses early what would be refused in the end: before its bytes are taken. By what is known at the moment, so that
 * what passes may still be refused. A repository that is full may push again what it has and was found damaged: what could
 * be that passes.
 *
 * @param bytes at least so many; 0 asks whether there is room for anything
 * @throws RegistryError as `reserveQuota`
 */
export async function expectRoom(context: Context, name: RepositoryName, bytes: number): Promise<void> {
  const asked = { bytes: Math.max(1, bytes), tags: 0 };
  for (const quota of context.settings.quotas) {
    if (!concerns(quota, asked) || !quota.fits(name)) continue;
    const fault = faultOf(quota, await usageNow(context, quota, name), asked);
    if (fault === undefined) continue;
    const damaged = await context.metadata.blobs.largestDamaged(name);
    if (damaged === 0 || bytes > damaged) throw exceeds(quota, { ...fault, asked: bytes });
  }
}

/** How many bytes may still be added to the repository, or pushed again to it, as far as is known at the moment. */
export async function roomLeft(context: Context, name: RepositoryName): Promise<number> {
  let left = Infinity;
  for (const quota of context.settings.quotas) {
    if (quota.bytes === undefined || !quota.fits(name)) continue;
    left = Math.min(left, quota.bytes - (await usageNow(context, quota, name)).bytes);
  }
  return left === Infinity ? left : Math.max(left, await context.metadata.blobs.largestDamaged(name));
}

/** Without a transaction. */
async function usageNow(context: Context, quota: Quota, name: RepositoryName): Promise<Usage> {
  const sum = quota.per === 'rule' ? await context.metadata.quotas.find(quota.patterns) : undefined;
  return usageOf(context, undefined, quota, name, sum);
}

/** Takes all repositories into the sums that belong to quotas, so that the first push need not. `pause` may end it. */
export async function prepareQuotas(context: Context, pause: () => Promise<void>): Promise<void> {
  const { metadata, settings } = context;
  const ofRules = settings.quotas.filter(({ per }) => per === 'rule');
  await metadata.quotas.forgetOthers(ofRules.map(({ patterns }) => patterns));
  for (const quota of ofRules) {
    for (;;) {
      const isDone = await metadata.write('relaxed', (tx) => catchUp(context, tx, quota));
      if (isDone) break;
      await pause();
    }
  }
}

/** The sum of a quota for several repositories with all of them in it. */
async function caughtUp(context: Context, tx: Transaction, quota: Quota): Promise<QuotaSum | undefined> {
  if (quota.per === 'repository') return undefined;
  while (!(await catchUp(context, tx, quota)));
  return context.metadata.quotas.find(quota.patterns, tx);
}

/** Takes a page of repositories in that came about since. @returns whether there are no more */
async function catchUp({ metadata }: Context, tx: Transaction, quota: Quota): Promise<boolean> {
  const { quotas } = metadata;
  const sum = await quotas.find(quota.patterns, tx);
  if (sum === undefined) await quotas.make(tx, quota.patterns);
  const known = sum ?? (await quotas.find(quota.patterns, tx));
  if (known === undefined) return true;
  const page = await quotas.repositories(known.seenId, PAGE, tx);
  const last = page.at(-1);
  if (last === undefined) return true;
  await quotas.takeIn(
    tx,
    known.id,
    page.filter(({ name }) => quota.fits(name)),
    last.id,
  );
  return page.length < PAGE;
}

/** What counts against a quota, with what changes under way are going to add. */
async function usageOf(
  { metadata }: Context,
  tx: Queries | undefined,
  quota: Quota,
  name: RepositoryName,
  sum: Usage | undefined,
): Promise<Usage> {
  const counted = quota.per === 'rule' ? sum : await metadata.repositories.usage(name, tx);
  const used = { bytes: counted?.bytes ?? 0, tags: counted?.tags ?? 0 };
  for (const { repository, bytes, tags } of await metadata.intents.reserved(tx)) {
    if (quota.per === 'repository' ? repository !== name : !quota.fits(repository)) continue;
    used.bytes += bytes;
    used.tags += tags;
  }
  return used;
}

function concerns({ bytes, tags }: QuotaSettings, asked: Usage): boolean {
  return (bytes !== undefined && asked.bytes > 0) || (tags !== undefined && asked.tags > 0);
}

interface QuotaFault {
  readonly what: 'bytes' | 'tags';
  readonly limit: number;
  readonly used: number;
  readonly asked: number;
}

function faultOf(quota: QuotaSettings, used: Usage, asked: Usage): QuotaFault | undefined {
  for (const what of ['bytes', 'tags'] as const) {
    const limit = quota[what];
    if (limit !== undefined && asked[what] > 0 && used[what] + asked[what] > limit)
      return { what, limit, used: used[what], asked: asked[what] };
  }
  return undefined;
}

/** The message has it all as well: most clients show nothing else. */
function exceeds({ repositories, per }: QuotaSettings, { what, limit, used, asked }: QuotaFault): RegistryError {
  const text = what === 'bytes' ? sizeText : (count: number) => `${count} ${count === 1 ? 'tag' : 'tags'}`;
  const whose = `${per === 'rule' ? 'all of' : 'each of'} ${repositories.join(', ')}`;
  const isFull = used >= limit ? 'is full' : 'would be exceeded';
  const more = asked === 0 ? '' : `, this adds ${text(asked)}`;
  const message = `the quota for ${whose} ${isFull}: ${text(used)} of ${text(limit)} in use${more}`;
  // A tag alone takes no bytes along: its image stays, and can be pulled by its digest.
  const advice = what === 'bytes' ? 'delete images by their digests' : 'delete tags';
  const reason = `${message}: ${advice}, or ask who runs this registry for more`;
  const detail = { quota: { repositories, per, [what]: limit }, used, asked, limit, reason };
  return new RegistryError('DENIED', { message: reason, detail });
}
