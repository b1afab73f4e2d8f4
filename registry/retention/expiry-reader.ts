import type { Digest } from '../../oci/digest.ts';
import { isJsonObject } from '../../oci/json-field.ts';
import { StorageError } from '../../storage/blobs/driver.ts';
import { blobKey } from '../../storage/layout.ts';
import type { Unexamined } from '../../storage/metadata/retention.ts';
import type { Context } from '../context.ts';
import { expiryOf, type Expiry } from './expiry-label.ts';

const PAGE = 100;
const CONFIG_MAX_BYTES = 4 * 1024 * 1024;

/** Reads what labels and annotations say of how long their images are to stay, once for each manifest. */
export class ExpiryReader {
  readonly #context: Pick<Context, 'driver' | 'metadata' | 'log'>;

  constructor(context: Pick<Context, 'driver' | 'metadata' | 'log'>) {
    this.#context = context;
  }

  /** Everything that was pushed since the last time. */
  async readNew(pause: () => Promise<void>): Promise<void> {
    const { metadata } = this.#context;
    for (let after = Number((await metadata.state.get('expiry-read')) ?? 0); ;) {
      const page = await metadata.retention.unexamined(after, PAGE);
      // One that is being pushed comes next time, and what came after it.
      const end = page.findIndex(({ isCommitted }) => !isCommitted);
      const ready = end === -1 ? page : page.slice(0, end);
      const expiries = [];
      for (const manifest of ready) {
        const ms = await this.#read(manifest);
        if (ms !== undefined) expiries.push({ id: manifest.id, ms });
        await pause();
      }
      await metadata.retention.expireAfter(expiries);
      const last = ready.at(-1);
      if (last === undefined) return;
      after = last.id;
      await metadata.state.set('expiry-read', String(after), 'relaxed');
      if (ready.length < PAGE) return;
    }
  }

  async #read({ id, annotations, config }: Unexamined): Promise<number | undefined> {
    const expiry =
      expiryOf(annotations === undefined ? undefined : JSON.parse(annotations)) ?? (await this.#ofConfig(config));
    if (expiry === undefined) return undefined;
    if ('ms' in expiry) return expiry.ms;
    this.#context.log.warn('a label says no time after which an image expires, such as 2w', {
      manifest: id,
      value: expiry.malformed,
    });
    return undefined;
  }

  /** The labels of an image are in its config (image-spec, config.md, `config.Labels`). */
  async #ofConfig(config: Digest | undefined): Promise<Expiry | undefined> {
    if (config === undefined) return undefined;
    const body = await this.#json(config);
    const inner = isJsonObject(body) ? body['config'] : undefined;
    return isJsonObject(inner) ? expiryOf(inner['Labels']) : undefined;
  }

  async #json(config: Digest): Promise<unknown> {
    try {
      const bytes = await this.#context.driver.readSmall(blobKey(config), CONFIG_MAX_BYTES);
      return bytes === undefined ? undefined : (JSON.parse(Buffer.from(bytes).toString('utf8')) as unknown);
    } catch (error) {
      // Artifacts have configs of any kind and size.
      if (error instanceof SyntaxError || (error instanceof StorageError && error.failure === 'too-large'))
        return undefined;
      throw error;
    }
  }
}
