import type { Config } from '../config/config.ts';
import { readConfig, type ConfigInput } from '../config/load.ts';
import { reportQuotas, type QuotaReport } from '../registry/quota-reports.ts';
import { createQuotas } from '../registry/quota.ts';
import { sizeText } from '../registry/size-text.ts';
import { createPause } from '../registry/space/pages.ts';
import { columns } from './columns.ts';
import { print, refuseMore, type Values } from './usage.ts';
import { withIndex } from './with-index.ts';

/** `entrepot quota`: how full the quotas of the configuration are. */
export async function quotaCommand(
  input: ConfigInput,
  rest: readonly string[],
  { json = false }: Values,
): Promise<number> {
  refuseMore('quota', rest);
  const config = await readConfig(input, { allowExposed: true });
  const reports = await withIndex(config, ({ quotas }) => report(config, quotas));
  if (json) return print(JSON.stringify({ quotas: reports }));
  return print(reports.length === 0 ? 'there are no quotas: see quotas in docs/configuration.md' : shown(reports));
}

function report({ quotas }: Config, records: Parameters<typeof reportQuotas>[0]): Promise<readonly QuotaReport[]> {
  return reportQuotas(records, createQuotas(quotas), createPause());
}

function shown(reports: readonly QuotaReport[]): string {
  const rows = reports.flatMap((quota) => {
    const patterns = quota.repositories.join(', ');
    if (quota.per === 'rule') return [[`${patterns} (together)`, ...fillOf(quota, quota.used)]];
    const fullest = (quota.fullest ?? []).map((each) => [`  ${each.name}`, ...fillOf(quota, each)]);
    return [[`${patterns} (each of ${quota.fitting})`, '', '', ''], ...fullest];
  });
  return columns([['REPOSITORIES', 'FULL', 'BYTES', 'TAGS'], ...rows]);
}

function fillOf(
  { bytes, tags }: Pick<QuotaReport, 'bytes' | 'tags'>,
  used: { readonly bytes: number; readonly tags: number },
): readonly string[] {
  const fill = Math.max(bytes === undefined ? 0 : used.bytes / bytes, tags === undefined ? 0 : used.tags / tags);
  return [
    `${Math.floor(fill * 100)}%`,
    bytes === undefined ? sizeText(used.bytes) : `${sizeText(used.bytes)} of ${sizeText(bytes)}`,
    tags === undefined ? String(used.tags) : `${used.tags} of ${tags}`,
  ];
}
