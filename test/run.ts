/** `npm test`: runs suites of this folder; `node test/run.ts help` says which. Loads nothing before it knows its Node. */
const OLDEST_NODE = 24;

const major = Number.parseInt(process.versions.node, 10);
if (major < OLDEST_NODE) {
  console.error(
    `The tests need Node ${OLDEST_NODE} or newer, this is ${process.versions.node}. After \`npm ci\`, \`npm test\` brings its own.`,
  );
  process.exit(2);
}
const { main } = await import('./runner/main.ts');
process.exitCode = await main(process.argv.slice(2));
