import { z } from 'zod';
import { settingsSchema } from './schema.ts';

/** What can be told about a key without a value for it. */
export interface SettingKey {
  /** Dotted, as in `http.drainTimeout`. */
  readonly path: string;
  /** `ENTREPOT_HTTP_DRAIN_TIMEOUT`. */
  readonly variable: string;
  readonly description: string;
  /** Undefined for a key that is unset by default. */
  readonly default: unknown;
  /** JSON Schema's names of what it may be, to read text (a variable, a flag) as. */
  readonly accepts: ReadonlySet<string>;
  /** Marked with `.meta({ secret: true })`: its value is never shown. */
  readonly secret: boolean;
}

export const VARIABLE_PREFIX = 'ENTREPOT_';

/** Every key of the schema that is no section, in the schema's order. */
export function settingKeys(schema: z.ZodType = settingsSchema): readonly SettingKey[] {
  return keysOf(z.toJSONSchema(schema, { io: 'input' }), []);
}

/** `http.drainTimeout` as `ENTREPOT_HTTP_DRAIN_TIMEOUT`. */
export function variableName(path: string): string {
  const words = path.replaceAll(/([a-z0-9])([A-Z])/g, '$1_$2').replaceAll('.', '_');
  return VARIABLE_PREFIX + words.toUpperCase();
}

/** The JSON Schema of the configuration file, for editors; `config/schema.json` is this. */
export function configJsonSchema(): Record<string, unknown> {
  const schema = z.toJSONSchema(settingsSchema, { io: 'input', override: dropSectionDefault });
  return { ...schema, title: 'Configuration of Entrepot' };
}

/** A section's default, `{}`, is how its keys get theirs: true, but of no use to a reader. */
function dropSectionDefault({ jsonSchema }: { jsonSchema: { type?: unknown; default?: unknown } }): void {
  if (jsonSchema.type === 'object') delete jsonSchema.default;
}

type JsonSchema = z.core.JSONSchema.JSONSchema;

function keysOf(schema: JsonSchema, path: readonly string[]): SettingKey[] {
  if (schema.properties === undefined) return [keyOf(schema, path.join('.'))];
  return Object.entries(schema.properties).flatMap(([name, part]) =>
    typeof part === 'boolean' ? [] : keysOf(part, [...path, name]),
  );
}

function keyOf(schema: JsonSchema, path: string): SettingKey {
  const alternatives = (schema.anyOf ?? []).filter((part) => typeof part !== 'boolean');
  return {
    path,
    variable: variableName(path),
    description: schema.description ?? '',
    default: schema.default,
    accepts: new Set([schema, ...alternatives].flatMap(({ type }) => type ?? [])),
    secret: schema['secret'] === true,
  };
}
