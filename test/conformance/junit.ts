/** One row of the suite's `junit.xml`. */
export interface Row {
  /** From the suite's root down, with slashes. Several rows may have the same. */
  readonly name: string;
  /** As the suite says it: `passed`, `skipped`, `failure` or `error`. */
  readonly status: string;
  /** What was wrong or why it was skipped. */
  readonly message: string;
  /** The requests and responses. */
  readonly log: string;
}

const ROW = /<testcase\s([^>]*?)(?:\/>|>([^]*?)<\/testcase>)/g;
const ATTRIBUTE = /([\w-]+)="([^"]*)"/g;
const ENTITIES: Readonly<Record<string, string>> = { lt: '<', gt: '>', amp: '&', quot: '"', apos: "'" };

/**
 * The rows of a report, in its order. It reads what Go's encoding/xml writes, where `<`, `>` and `"` are always
 * escaped; it is no parser for XML in general.
 */
export function parseRows(xml: string): readonly Row[] {
  return Array.from(xml.matchAll(ROW), ([, attributes = '', body = '']) => {
    const values = Object.fromEntries(Array.from(attributes.matchAll(ATTRIBUTE), ([, name, value]) => [name, value]));
    return {
      name: decode(values['name'] ?? ''),
      status: values['status'] ?? '',
      message: element(body, 'system-out'),
      log: element(body, 'system-err'),
    };
  });
}

function element(body: string, name: string): string {
  return decode(new RegExp(`<${name}>([^]*?)</${name}>`).exec(body)?.[1] ?? '');
}

function decode(text: string): string {
  return text.replaceAll(
    /&(?:#x([\da-f]+)|#(\d+)|(\w+));/gi,
    (entity, hex?: string, decimal?: string, name?: string) => {
      if (name !== undefined) return ENTITIES[name] ?? entity;
      return String.fromCodePoint(hex === undefined ? Number(decimal) : Number.parseInt(hex, 16));
    },
  );
}
