import { startService } from '../../test/harness/service.ts';

/*
 * The server's own process without its background jobs: the first would compare the tree with the index, and this index
 * has no tree. Forked by `index-figures.ts`.
 *
 *   process.send({ port })   once it listens
 *   { collect: true }        a round of the collection; answered by { collected }
 */

const [, , root = ''] = process.argv;
const service = await startService({
  root,
  hasComparedTree: false,
  env: { ENTREPOT_COLLECTION_ENABLED: 'true', ENTREPOT_COLLECTION_GRACE: '1h' },
});
const { metadata, registry } = service.service;
const run = (await metadata.state.get('run')) ?? '';
await metadata.write('durable', (tx) => tx.run('UPDATE repository SET verified_run = ?', run));
await metadata.state.set('verified-run', run);

process.on('message', () => {
  void registry.collection
    .run(async () => new Promise((resolve) => setImmediate(() => resolve(true))))
    .then((collected) => process.send?.({ collected }));
});
process.on('disconnect', () => process.exit());
process.send?.({ port: service.port });
