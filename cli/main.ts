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
const { runCommand } = await import('./command.ts');
process.exitCode = await runCommand(process.argv.slice(2));
