import module from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

// No TypeScript: a Node that is too old has to understand it as far as the message, and what strips the types of an entry
// is loaded whatever lies in the cache, for a fifth of a start and for 16 MiB as long as the server runs.

// Read when the thread pool starts, at the first asynchronous file operation: with the default of four threads, waiting
// for fsync starves the uploads.
process.env['UV_THREADPOOL_SIZE'] ??= '16';

const [major = 0] = process.versions.node.split('.').map(Number);
if (major < 24) {
  console.error(
    `entrepot needs Node 24 or newer, this is ${process.version}. Run it with "npm start" or "npx entrepot".`,
  );
  process.exit(1);
}
// What was made of the sources is kept beside the packages: stripping types and compiling is most of a start. Where that
// place cannot be written, nothing is kept.
if (process.env['NODE_COMPILE_CACHE'] === undefined) {
  const { directory } = module.enableCompileCache(
    fileURLToPath(new URL('../node_modules/.cache/entrepot', import.meta.url)),
  );
  // The workers are told by it.
  if (directory !== undefined) process.env['NODE_COMPILE_CACHE'] = path.dirname(directory);
}
const { runCommand } = await import('./command.ts');
process.exitCode = await runCommand(process.argv.slice(2));
