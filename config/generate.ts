import { readFile, writeFile } from 'node:fs/promises';
import { schemaFile, withKeyTable } from './reference.ts';

/*
 * Writes what follows from the schema: `node config/generate.ts && npx oxfmt config/schema.json`, from the top of the project. A test says when it is
 * due.
 */
const PAGE = 'docs/configuration.md';

await writeFile('config/schema.json', schemaFile());
await writeFile(PAGE, withKeyTable(await readFile(PAGE, 'utf8')));
