import { configJsonSchema, settingKeys, type SettingKey } from './keys.ts';

/** The table of every key in docs/configuration.md stands between these two lines. */
export const TABLE_START = '<!-- keys: written by config/generate.ts -->';
export const TABLE_END = '<!-- end of keys -->';

/** The page with its table of keys as the schema has it now. */
export function withKeyTable(page: string): string {
  const [start, end] = [page.indexOf(TABLE_START), page.indexOf(TABLE_END)];
  if (start === -1 || end < start) throw new Error('the page has no place for the table of keys');
  return `${page.slice(0, start)}${TABLE_START}\n\n${keyTable()}\n${page.slice(end)}`;
}

/** The text of config/schema.json. */
export function schemaFile(): string {
  return `${JSON.stringify(configJsonSchema(), null, 2)}\n`;
}

function keyTable(): string {
  const rows = settingKeys().map(keyRow);
  return ['| Key | Variable | Default | Meaning |', '| --- | --- | --- | --- |', ...rows, ''].join('\n');
}

function keyRow({ path, variable, description, ...key }: SettingKey): string {
  const initial = key.default === undefined ? 'unset' : `\`${textOf(key.default)}\``;
  return `| \`${path}\` | \`${variable}\` | ${initial} | ${description} |`;
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}
