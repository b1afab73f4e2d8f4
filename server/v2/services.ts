import type { Registry } from '../../registry/registry.ts';

/** What the handlers stand on. */
export interface Services {
  readonly registry: Registry;
  readonly maxManifestBytes: number;
  /** The `Location` for one of our paths: relative, or with the configured origin. */
  readonly location: (path: string) => string;
}
