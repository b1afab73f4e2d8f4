import { Document, isCollection, isNode } from 'yaml';
import { settingKeys, type SettingKey } from './keys.ts';
import { valueIn, withValue, type Section } from './section.ts';

const HIDDEN = '(hidden)';

/**
 * `settings` as YAML in the order of `keys`, each value that somebody set with a comment that says who. A key
 * without a value has none here either, which reads as not set.
 */
export function describeSettings(
  settings: Section,
  originOf: (key: string) => string | undefined,
  keys: readonly SettingKey[] = settingKeys(),
): string {
  const document = new Document(keys.reduce((shown, key) => withShown(shown, key, settings), {} as Section));
  for (const { path } of keys) annotate(document.getIn(path.split('.'), true), originOf(path));
  return document.toString({ lineWidth: 0, nullStr: '' });
}

function withShown(shown: Section, key: SettingKey, settings: Section): Section {
  const path = key.path.split('.');
  const value = valueIn(settings, path);
  return withValue(shown, path, value === undefined ? null : key.secret ? HIDDEN : value);
}

function annotate(node: unknown, origin: string | undefined): void {
  if (!isNode(node)) return;
  if (isCollection(node)) node.flow = true;
  if (origin !== undefined) node.comment = ` ${origin}`;
}
