import type { SettingKey } from './keys.ts';

/** One key set by a text from outside the file. */
export interface Assignment {
  readonly key: SettingKey;
  readonly value: unknown;
  /** The variable or the flag. */
  readonly origin: string;
}

/** Reads `text` as what the key accepts; left as text where it is none of that, for the schema to refuse. */
export function valueOfText(key: SettingKey, text: string): unknown {
  if (key.accepts.has('boolean') && /^(true|false)$/.test(text)) return text === 'true';
  if (key.accepts.has('integer') && /^(0|[1-9][0-9]{0,14})$/.test(text)) return Number(text);
  if (/^\s*[[{]/.test(text) && (key.accepts.has('array') || key.accepts.has('object'))) return jsonOf(text);
  if (key.accepts.has('array')) return itemsOf(text);
  return text;
}

/** Lists of sections have no other form on one line. */
function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function itemsOf(text: string): string[] {
  return text
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '');
}
