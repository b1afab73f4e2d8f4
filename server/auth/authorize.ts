import { isRepositoryName, isTag } from '../../oci/names.ts';
import type { Endpoint } from '../http/endpoint.ts';
import type { Target } from '../http/target.ts';
import type { Admission } from './admission.ts';
import type { Touched } from './scope.ts';

/**
 * Decides what can be decided by the request alone: the action on the repository and on every tag that it names. What
 * only the index knows, the registry asks `Rights` about.
 *
 * @throws RegistryError `UNAUTHORIZED` or `DENIED`, alike for what is there and for what is not
 */
export function authorize(admission: Admission, endpoint: Endpoint, params: Touched, query: Target['query']): void {
  const { name, 'tag-or-digest': reference } = params;
  switch (endpoint.action) {
    case 'none':
      // Clients ask here how to log in, and whether a login is right.
      return admission.requireLogin();
    case 'catalog':
      return admission.requireList();
    case 'pull':
      return admission.require('pull', name, reference?.tag);
    case 'push':
      admission.require('push', name, reference?.tag);
      for (const tag of query.getAll('tag')) if (isTag(tag)) admission.require('push', name, tag);
      requireSource(admission, query);
      return;
    case 'delete':
      // Which tags a digest stands for, the registry knows.
      if (reference?.digest !== undefined) return admission.requireIn('delete', name);
      return admission.require('delete', name, reference?.tag);
  }
}

function requireSource(admission: Admission, query: Target['query']): void {
  const from = query.has('mount') ? (query.get('from') ?? '') : '';
  if (isRepositoryName(from)) admission.requireSource(from);
}
