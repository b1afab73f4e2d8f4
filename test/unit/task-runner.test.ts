import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import { TaskRefused, TaskRunner, type Task } from '../../server/tasks.ts';
import { StorageError } from '../../storage/blobs/driver.ts';
import { openSqliteMetadata, type Metadata } from '../../storage/metadata/metadata.ts';
import { temporaryDirectory } from '../harness/process.ts';
import { RecordingLog } from '../harness/service.ts';
import { until } from '../http/until.ts';

const TAKER = { holder: 'a process', lease: undefined };

/** A runner of these tasks over a real index. */
async function startRunner(tasks: Readonly<Record<string, Task>>) {
  const directory = await temporaryDirectory();
  const metadata = await openSqliteMetadata(path.join(directory.path, 'index.db'));
  const log = new RecordingLog();
  const runner = new TaskRunner({ metadata, tasks, taker: () => TAKER, log });
  return {
    metadata,
    log,
    runner,
    ended: (id: number) => ended(metadata, id),
    [Symbol.asyncDispose]: async () => {
      await runner.stop();
      await metadata.close();
      await directory[Symbol.asyncDispose]();
    },
  };
}

async function ended({ tasks }: Metadata, id: number) {
  await until('the end of the task', async () => (await tasks.find(id))?.endedAt !== undefined);
  return (await tasks.find(id)) ?? assert.fail();
}

test('a task is taken up and its outcome kept', async () => {
  await using running = await startRunner({
    double: async ({ number }) => ({ doubled: Number(number) * 2 }),
  });
  const id = await running.metadata.tasks.request('double', '{"number":21}', 1000);
  const task = await running.ended(id);
  assert.deepEqual([task.outcome, task.failure, task.requestedAt], ['{"doubled":42}', undefined, 1000]);
});

test('the same request while the first waits is that one', async () => {
  await using directory = await temporaryDirectory();
  const metadata = await openSqliteMetadata(path.join(directory.path, 'index.db'));
  const first = await metadata.tasks.request('collect', '{}', 1);
  assert.equal(await metadata.tasks.request('collect', '{}', 2), first);
  assert.notEqual(await metadata.tasks.request('collect', '{"other":1}', 3), first);
  await metadata.tasks.begin(TAKER, 4);
  assert.notEqual(await metadata.tasks.request('collect', '{}', 5), first);
  await metadata.close();
});

test('what is refused says why, what fails says that the log does, and both leave the runner running', async () => {
  await using running = await startRunner({
    refused: async () => Promise.reject(new TaskRefused('not today')),
    broken: async () => Promise.reject(new Error('a secret of the program')),
  });
  const ids = [];
  for (const kind of ['refused', 'broken', 'unheard-of']) ids.push(await running.metadata.tasks.request(kind, '{}', 1));
  const failures = [];
  for (const id of ids) failures.push((await running.ended(id)).failure);
  assert.deepEqual(failures, [
    'not today',
    'it failed: the log of the server says why',
    'this server knows no task "unheard-of": is it an older version?',
  ]);
  assert.deepEqual(
    running.log.lines.filter(({ level }) => level === 'warn').map(({ message }) => message),
    ['a task failed'],
  );
});

test('a task that runs tells how far it is, and ends when that is wanted', async () => {
  await using running = await startRunner({
    endless: async (_argument, { breathe, report }) => {
      for (let done = 1; ; done++) {
        report({ done });
        await breathe();
      }
    },
  });
  const { tasks } = running.metadata;
  const id = await tasks.request('endless', '{}', 1);
  await until('progress', async () => (await tasks.find(id))?.progress !== undefined);
  assert.equal(await tasks.cancel(id), true);
  assert.equal((await running.ended(id)).failure, 'canceled');
  assert.equal(await tasks.cancel(id), false);
});

test('a task that waits is canceled before it begins', async () => {
  let calls = 0;
  await using directory = await temporaryDirectory();
  const metadata = await openSqliteMetadata(path.join(directory.path, 'index.db'));
  const id = await metadata.tasks.request('count', '{}', 1);
  await metadata.tasks.cancel(id);
  const runner = new TaskRunner({
    metadata,
    tasks: { count: async () => ({ calls: (calls += 1) }) },
    taker: () => TAKER,
    log: new RecordingLog(),
  });
  assert.equal((await ended(metadata, id)).failure, 'canceled');
  assert.equal(calls, 0);
  await runner.stop();
  await metadata.close();
});

test('a stop ends the task that runs, and one that was cut off is said to be', async () => {
  await using running = await startRunner({
    endless: async (_argument, { breathe }) => {
      for (;;) await breathe();
    },
  });
  const { tasks } = running.metadata;
  const id = await tasks.request('endless', '{}', 1);
  await until('the begin', async () => (await tasks.find(id))?.startedAt !== undefined);
  await running.runner.stop();
  assert.equal((await tasks.find(id))?.failure, 'the server was stopped');
  const other = await tasks.request('endless', '{}', 2);
  await tasks.begin(TAKER, 3);
  await running.metadata.write('durable', (tx) => tasks.failAbandoned(tx, 'the server ended', 4));
  assert.deepEqual([(await tasks.find(other))?.failure, (await tasks.find(other))?.endedAt], ['the server ended', 4]);
});

test('a task that has ended is told to have when the index takes it again', async () => {
  let asked = 0;
  await using running = await startRunner({ some: async () => ({ asked: ++asked }) });
  const { tasks } = running.metadata;
  const end = tasks.end.bind(tasks);
  let failures = 0;
  tasks.end = async (...args) => {
    if (++failures <= 2) throw new StorageError('full', 'no room');
    await end(...args);
  };
  const id = await tasks.request('some', '{}', 1);
  assert.equal((await running.ended(id)).outcome, '{"asked":1}');
  assert.deepEqual([failures, asked], [3, 1], 'and is not done again');
});

test('only the last hundred that ended are kept', async () => {
  await using directory = await temporaryDirectory();
  const metadata = await openSqliteMetadata(path.join(directory.path, 'index.db'));
  const { tasks } = metadata;
  const first = await tasks.request('a', '{}', 1);
  for (let count = 0; count < 105; count++) {
    const task = await tasks.begin(TAKER, 2);
    await tasks.end(task?.id ?? assert.fail(), { outcome: '{}' }, 3);
    await tasks.request('a', '{}', 4);
  }
  assert.equal(await tasks.find(first), undefined);
  assert.equal((await tasks.list(1000)).length, 101);
  await metadata.close();
});
