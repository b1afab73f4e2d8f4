import type { Registry } from '../../registry/registry.ts';
import type { Redirects } from '../redirects.ts';

/** What the handlers stand on. */
export interface Services {
  readonly registry: Registry;
  readonly maxManifestBytes: number;
  /** The `Location` for one of our paths: relative, or with the configured origin. */
  readonly location: (path: string) => string;
  /** Undefined: every blob comes from here. */
  readonly redirects: Redirects | undefined;
}
