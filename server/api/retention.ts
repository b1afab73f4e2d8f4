import type { IRouter, Request } from 'express';
import { replying, route, queryOf } from './routing.ts';
import { requestTask, type TasksParts } from './tasks.ts';

/** `/api/v1/retention`: what `entrepot retention` does, as tasks, for who has the right `admin`. */
export function routeRetention(api: IRouter, parts: TasksParts): void {
  const preview = async (request: Request) => {
    const pattern = queryOf(request).get('repository');
    return requestTask(parts, request, 'retention-preview', pattern === null ? {} : { pattern });
  };
  route(api, '/retention/preview', { post: replying(preview) }, { post: { repository: 'once' } });
  route(api, '/retention/run', { post: replying((request) => requestTask(parts, request, 'retain', {})) });
}
