import type { IRouter, Request } from 'express';
import { RegistryError } from '../../oci/errors.ts';
import type { TaskRecord, TaskRecords } from '../../storage/metadata/tasks.ts';
import { jsonReply, type Reply } from '../http/exchange.ts';
import { taskSubject } from '../tasks.ts';
import { guarded, type GuardedParts } from './guarded.ts';
import { replying, route } from './routing.ts';

/** The tasks that can be asked for here and by the command. */
export interface TasksParts extends GuardedParts {
  readonly tasks: Pick<TaskRecords, 'request' | 'find' | 'list' | 'cancel'>;
}

const LISTED_MAX = 100;

/** `/api/v1/tasks`: what operators asked the server for, for who has the right `admin`. */
export function routeTasks(api: IRouter, parts: TasksParts): void {
  const { tasks } = parts;
  route(api, '/tasks', {
    get: replying((request) =>
      guarded(parts, request, { action: 'admin', subject: 'tasks' }, async () =>
        jsonReply(200, { tasks: (await tasks.list(LISTED_MAX)).map(shown) }),
      ),
    ),
  });
  route(api, '/tasks/:id', {
    get: replying((request) =>
      guarded(parts, request, { action: 'admin', subject: 'tasks' }, async () =>
        jsonReply(200, shown(await found(tasks, request))),
      ),
    ),
    delete: replying((request) =>
      guarded(parts, request, { action: 'admin', subject: 'tasks' }, async (_admission, isAbout) => {
        const task = await found(tasks, request);
        isAbout(`task ${task.id} (${task.kind}): canceled`);
        if (await tasks.cancel(task.id)) return jsonReply(202, shown({ ...task, isCanceled: true }));
        throw new RegistryError('UNSUPPORTED', { status: 409, detail: { reason: 'the task has ended already' } });
      }),
    ),
  });
}

/**
 * Asks for a task on behalf of who has the right `admin`.
 *
 * @returns 202 with where to ask how far it is
 */
export async function requestTask(
  parts: TasksParts,
  request: Request,
  kind: string,
  argument: Readonly<Record<string, unknown>>,
): Promise<Reply> {
  const text = JSON.stringify(argument);
  return guarded(parts, request, { action: 'admin', subject: taskSubject(kind, text) }, async () => {
    const id = await parts.tasks.request(kind, text, Date.now());
    return jsonReply(202, { task: id }, { Location: `/api/v1/tasks/${id}` });
  });
}

async function found(tasks: TasksParts['tasks'], request: Request): Promise<TaskRecord> {
  const id = String(request.params['id']);
  const task = /^[1-9][0-9]{0,14}$/.test(id) ? await tasks.find(Number(id)) : undefined;
  if (task !== undefined) return task;
  const reason = 'there is no such task: those that ended long ago are forgotten. GET /api/v1/tasks lists them';
  throw new RegistryError('NAME_UNKNOWN', { detail: { task: id.slice(0, 100), reason } });
}

/** As JSON shows it: times in ISO 8601, what is not known left out. */
function shown(task: TaskRecord) {
  const { id, kind, argument, requestedBy, requestedAt, startedAt, progress, isCanceled, endedAt, outcome, failure } =
    task;
  return {
    id,
    kind,
    argument: parsed(argument),
    state: stateOf(task),
    isCanceled,
    requestedBy,
    requestedAt: time(requestedAt),
    startedAt: time(startedAt),
    endedAt: time(endedAt),
    progress: parsed(progress),
    outcome: parsed(outcome),
    failure,
  };
}

const parsed = (text: string | undefined) => (text === undefined ? undefined : (JSON.parse(text) as unknown));
const time = (ms: number | undefined) => (ms === undefined ? undefined : new Date(ms).toISOString());

function stateOf({ startedAt, endedAt, failure }: TaskRecord): string {
  if (endedAt !== undefined) return failure === undefined ? 'done' : 'failed';
  return startedAt === undefined ? 'waiting' : 'running';
}
