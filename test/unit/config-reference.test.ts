import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { parse } from 'yaml';
import { z } from 'zod';
import { describeSettings } from '../../config/describe.ts';
import { settingKeys, variableName } from '../../config/keys.ts';
import { withKeyTable, schemaFile } from '../../config/reference.ts';
import { settingsSchema } from '../../config/schema.ts';
import { valueFaults } from '../../config/value-faults.ts';

const fromTop = (name: string) => readFile(new URL(`../../${name}`, import.meta.url), 'utf8');

test('config/schema.json is that of the schema', async () => {
  assert.deepEqual(JSON.parse(await fromTop('config/schema.json')), JSON.parse(schemaFile()), 'run config/generate.ts');
});

test('docs/configuration.md names every key with its variable and default, and no other', async () => {
  const page = await fromTop('docs/configuration.md');
  assert.equal(withKeyTable(page), page, 'run config/generate.ts');
  const rows = [...page.matchAll(/^\| `([a-z][a-zA-Z0-9.]*)` \| `(ENTREPOT_[A-Z0-9_]+)` \| (.*?) \| (.+?) \|$/gm)];
  const keys = settingKeys();
  assert.ok(keys.length >= 25);
  assert.deepEqual(
    rows.map(([, key]) => key),
    keys.map((key) => key.path),
  );
  const known = new Set(keys.flatMap(({ variable }) => [variable, `${variable}_FILE`]));
  for (const [variable] of page.matchAll(/ENTREPOT_[A-Z0-9_]+[A-Z]/g)) {
    assert.ok(known.has(variable) || /^ENTREPOT_(CONFIG|SERVICE_HOST|PORT)$/.test(variable), variable);
  }
});

test('the examples of docs/configuration.md are configurations', async () => {
  const examples = [...(await fromTop('docs/configuration.md')).matchAll(/```yaml\n([^]*?)```/g)];
  assert.ok(examples.length >= 2);
  for (const [, yaml = ''] of examples) {
    assert.doesNotThrow(() => settingsSchema.parse(parse(yaml) ?? {}));
  }
});

test('every key has a variable of its own, a meaning and a default that the schema takes', () => {
  const keys = settingKeys();
  assert.equal(new Set(keys.map(({ variable }) => variable)).size, keys.length);
  assert.equal(variableName('http.minimumRate.bytesPerSecond'), 'ENTREPOT_HTTP_MINIMUM_RATE_BYTES_PER_SECOND');
  for (const key of keys) assert.match(key.description, /^[A-Z].*\. Write .*\.$/, key.path);
  const names = new Set(keys.map(({ variable }) => variable));
  for (const name of names) assert.ok(!names.has(`${name}_FILE`), name);
});

const origin = () => 'ENTREPOT_INNER_TOKEN';
const MARKED = z.strictObject({
  plain: z.string().default('seen'),
  inner: z.strictObject({ token: z.string('a token').meta({ secret: true }).optional() }).prefault({}),
});

test('a secret is shown neither by config show nor in a fault', () => {
  const keys = settingKeys(MARKED);
  const shown = describeSettings({ plain: 'seen', inner: { token: 'hunter2' } }, origin, keys);
  assert.match(shown, /plain: seen/);
  assert.match(shown, /token: \(hidden\)/);
  assert.doesNotMatch(shown, /hunter2/);
  const { faults } = valueFaults(MARKED, { values: { inner: { token: { oops: 'hunter2' } } }, originOf: origin });
  assert.deepEqual(
    faults.map(({ path, wrong }) => [path, wrong]),
    [['inner.token', 'this value will not do']],
  );
});
