import { enableCompileCache } from 'node:module';
import { fileURLToPath } from 'node:url';

// No TypeScript, because what strips the types of an entry is loaded whatever lies in the cache: a fifth of a start, and
// 16 MiB for as long as the server runs.
enableCompileCache(fileURLToPath(new URL('../node_modules/.cache/entrepot', import.meta.url)));
await import('./main.ts');
