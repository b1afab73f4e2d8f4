import { after, describe, it } from 'node:test';
import { useIndexKind } from '../harness/index-kind.ts';
import { PostgresIndexes } from './postgres-index.ts';
import { missingPostgres, PostgresServer } from './postgres-server.ts';

// What the registry promises over SQLite, it promises over PostgreSQL: the same files, in a process of their own.
if (missingPostgres === false) {
  const server = await PostgresServer.start();
  after(() => server[Symbol.asyncDispose]());
  useIndexKind(new PostgresIndexes(server));
  await import('../contracts/changes.test.ts');
  await import('../contracts/adoption.test.ts');
  await import('../contracts/upload-holds.test.ts');
  await import('../contracts/subject-rights.test.ts');
  await import('../contracts/doubts.test.ts');
  await import('../contracts/foreign-bytes.test.ts');
  await import('../contracts/collection.test.ts');
  await import('../contracts/collection-holds.test.ts');
  await import('../contracts/collection-steps.test.ts');
  await import('../contracts/collection-walk.test.ts');
  await import('../contracts/quota.test.ts');
  await import('../contracts/space.test.ts');
  await import('../contracts/retention.test.ts');
  await import('../contracts/retention-hazards.test.ts');
  await import('../contracts/undo.test.ts');
  await import('../contracts/undo-trouble.test.ts');
  await import('../contracts/undo-hazards.test.ts');
  await import('../contracts/quarantine.test.ts');
  await import('../contracts/deferred-pushes.test.ts');
  await import('../contracts/scrub.test.ts');
  await import('../contracts/fsck.test.ts');
  await import('../contracts/fsck-beside.test.ts');
  await import('../contracts/fsck-unreadable.test.ts');
  await import('../contracts/rebuild.test.ts');
  await import('../contracts/rebuild-race.test.ts');
  await import('../contracts/backup.test.ts');
  await import('../contracts/deferred-trouble.test.ts');
} else {
  describe('registry over PostgreSQL', () => it('keeps its contracts', { skip: missingPostgres }, () => {}));
}
