import type { Config } from '../config/config.ts';
import { isDigest, type Digest } from '../oci/digest.ts';
import { RegistryError } from '../oci/errors.ts';
import { isTag, parseRepositoryName, type RepositoryName, type Tag } from '../oci/names.ts';
import { EVERYTHING } from '../registry/rights.ts';
import type { OpenRegistry } from './open-registry.ts';
import { createReadOnly } from './read-only.ts';
import { TaskRefused, type Task, type TaskRun } from './tasks.ts';

/** A tag that was brought back. */
interface RestoredTag {
  readonly tag: string;
  readonly digest: Digest;
  readonly previous: Digest | undefined;
  readonly manifests: number;
}

/**
 * `tag restore`: one tag, by `{repository, tag, digest?}`; without a tag, all those that went with their repository.
 * Says `restored`, and `failed` with the reason for each tag that could not be brought back.
 */
export function restoreTagTask(config: Config, opened: OpenRegistry): Task {
  return async ({ repository, tag, digest }, run) => {
    if (await createReadOnly(opened.metadata.state, config.readOnly).get()) {
      throw new TaskRefused('the registry is read-only: entrepot read-only off');
    }
    const name = parseRepositoryName(String(repository));
    if (tag === undefined) return restoreAll(opened, name, run);
    if (typeof tag !== 'string' || !isTag(tag)) throw new TaskRefused(`${JSON.stringify(tag)} is no tag`);
    if (digest !== undefined && (typeof digest !== 'string' || !isDigest(digest))) {
      throw new TaskRefused(`${JSON.stringify(digest)} is no digest`);
    }
    try {
      return { restored: [await restoreOne(opened, name, tag, digest)], failed: [] };
    } catch (error) {
      throw error instanceof RegistryError ? new TaskRefused(`${name}:${tag}: ${reasonOf(error)}`) : error;
    }
  };
}

async function restoreAll(opened: OpenRegistry, name: RepositoryName, { breathe, report }: TaskRun) {
  const restored: RestoredTag[] = [];
  const failed: { readonly tag: string; readonly reason: string }[] = [];
  for await (const tag of opened.registry.undo.goneWithRepository(name)) {
    try {
      restored.push(await restoreOne(opened, name, tag, undefined));
    } catch (error) {
      if (!(error instanceof RegistryError)) throw error;
      failed.push({ tag, reason: reasonOf(error) });
    }
    report({ restored: restored.length, failed: failed.length });
    await breathe();
  }
  if (restored.length + failed.length > 0) return { restored, failed };
  throw new TaskRefused(`no tag of ${name} went with its repository and is still gone: name the tags`);
}

async function restoreOne(
  { registry }: OpenRegistry,
  name: RepositoryName,
  tag: Tag,
  digest: Digest | undefined,
): Promise<RestoredTag> {
  return { tag, ...(await registry.undo.restore({ name, tag, digest, rights: EVERYTHING })) };
}

function reasonOf(error: RegistryError): string {
  const { detail } = error;
  const hasReason = typeof detail === 'object' && detail !== null && 'reason' in detail;
  return hasReason ? String(detail.reason) : error.message;
}
