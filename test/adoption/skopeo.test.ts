import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, it } from 'node:test';
import { run } from '../clients/command.ts';
import { manyLayersImage, multiPlatformImage, plainImage, TAG } from '../clients/images.ts';
import { missingTools, tool } from '../clients/tools.ts';
import { temporaryDirectory } from '../harness/process.ts';
import { Store } from './stores.ts';

const IMAGES = { 'plain image': plainImage, 'image of 40 layers': manyLayersImage, index: multiPlatformImage };
const COPY = ['copy', '--insecure-policy', '--all', '--src-tls-verify=false', '--dest-tls-verify=false'];

describe('images that skopeo pushed', { skip: missingTools('skopeo', 'docker-registry') }, () => {
  for (const [kind, build] of Object.entries(IMAGES)) {
    it(`are pulled from either server, whoever took them: the ${kind}`, async () => {
      const image = await build();
      await using store = await Store.create();
      await store.withDistribution(({ host }) => push(image.directory, `${host}/from/distribution`));
      await store.withEntrepot(async ({ host }) => {
        assert.equal(await pulledDigest(`${host}/from/distribution`), image.digest);
        await push(image.directory, `${host}/from/entrepot`);
      });
      await store.withDistribution(async ({ host }) => {
        for (const origin of ['distribution', 'entrepot']) {
          assert.equal(await pulledDigest(`${host}/from/${origin}`), image.digest);
        }
      });
    });
  }
});

async function push(directory: string, repository: string): Promise<void> {
  await run(tool('skopeo'), [...COPY, `oci:${directory}:${TAG}`, `docker://${repository}:${TAG}`]);
}

/** Pulls everything, which skopeo checks against its digests. @returns the digest that it came to */
async function pulledDigest(repository: string): Promise<string> {
  await using directory = await temporaryDirectory('entrepot-skopeo-');
  const digestFile = path.join(directory.path, 'digest');
  const target = `oci:${path.join(directory.path, 'layout')}:${TAG}`;
  await run(tool('skopeo'), [...COPY, `--digestfile=${digestFile}`, `docker://${repository}:${TAG}`, target]);
  return (await readFile(digestFile, 'utf8')).trim();
}
