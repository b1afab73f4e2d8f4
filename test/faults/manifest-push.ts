import { expectStatus, type Destination } from './blob-push.ts';
import type { Document } from './content.ts';
import { PRESENT, type Change } from './ledger.ts';

/** Pushes a manifest under a tag, or under its digest where none is given. */
export async function pushManifest(to: Destination, document: Document, tag?: string): Promise<void> {
  const { client, ledger, repository } = to;
  ledger.know(document);
  const target = `/v2/${repository}/manifests/${tag ?? document.digest}`;
  const changes: Change[] = [{ kind: 'manifest', repository, name: document.digest, value: PRESENT }];
  if (tag !== undefined) changes.push({ kind: 'tag', repository, name: tag, value: document.digest });
  const sending = { headers: { 'Content-Type': document.mediaType }, body: document.bytes };
  const answer = await ledger.record(changes, () => client.send('PUT', target, sending));
  expectStatus(ledger, `PUT ${target}`, answer, 201);
}

export async function deleteTag({ client, ledger, repository }: Destination, tag: string): Promise<void> {
  const target = `/v2/${repository}/manifests/${tag}`;
  const changes: Change[] = [{ kind: 'tag', repository, name: tag, value: undefined }];
  const answer = await ledger.record(changes, () => client.send('DELETE', target));
  expectStatus(ledger, `DELETE ${target}`, answer, 202, 404);
}

/** Takes every tag along that points to it. Nobody else may be moving tags in the repository. */
export async function deleteManifest({ client, ledger, repository }: Destination, digest: string): Promise<void> {
  const target = `/v2/${repository}/manifests/${digest}`;
  const tags = ledger.entriesOf('tag', repository).filter(({ register }) => register.allowed().has(digest));
  const changes: Change[] = [
    { kind: 'manifest', repository, name: digest, value: undefined },
    ...tags.map(({ name, register }): Change => {
      return { kind: 'tag', repository, name, value: undefined, isConditional: register.certain() !== digest };
    }),
  ];
  const answer = await ledger.record(changes, () => client.send('DELETE', target));
  expectStatus(ledger, `DELETE ${target}`, answer, 202);
}

export async function deleteBlob({ client, ledger, repository }: Destination, digest: string): Promise<void> {
  const target = `/v2/${repository}/blobs/${digest}`;
  const changes: Change[] = [{ kind: 'blob', repository, name: digest, value: undefined }];
  const answer = await ledger.record(changes, () => client.send('DELETE', target));
  expectStatus(ledger, `DELETE ${target}`, answer, 202);
}
