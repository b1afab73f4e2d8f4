import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, test } from 'node:test';
import { parse, parseAllDocuments } from 'yaml';
import { z } from 'zod';
import { readConfig } from '../../config/load.ts';
import { PROJECT_ROOT } from '../harness/process.ts';

const fromTop = (name: string) => readFile(path.join(PROJECT_ROOT, name), 'utf8');

/** What the image sets. */
const OF_IMAGE = { ENTREPOT_ADDRESS: '0.0.0.0:5000', ENTREPOT_ROOT: '/var/lib/entrepot' };
const VARIABLES = z.record(z.string(), z.string());

describe('the compose file of several servers', () => {
  const COMPOSE = z.object({
    services: z.object({
      balancer: z.object({ ports: z.array(z.string()), image: z.string() }),
      registry: z.object({
        deploy: z.object({ replicas: z.number() }),
        environment: VARIABLES,
        tmpfs: z.array(z.string()),
        volumes: z.undefined().optional(),
        read_only: z.literal(true),
        stop_grace_period: z.string(),
        ulimits: z.object({ nofile: z.number() }),
      }),
      database: z.object({ environment: VARIABLES, image: z.string() }),
      storage: z.object({ environment: VARIABLES, image: z.string() }),
      bucket: z.object({ command: z.array(z.string()), image: z.string() }),
    }),
    configs: z.object({ haproxy: z.object({ content: z.string() }) }),
    networks: z.object({ front: z.object({ ipam: z.object({ config: z.array(z.object({ subnet: z.string() })) }) }) }),
  });

  /** As compose sees it, with these variables. */
  async function read() {
    const text = await fromTop('deploy/replicas.compose.yaml');
    return COMPOSE.parse(parse(text.replaceAll(/\$\{(\w+):\?[^}]*\}/g, (_, name: string) => `a-secret-for-${name}`)));
  }

  test('is taken by the servers of the image, of which each has a root of its own', async () => {
    const { registry } = (await read()).services;
    assert.equal(registry.deploy.replicas, 3);
    const config = await readConfig({ env: { ...OF_IMAGE, ...registry.environment } });
    assert.equal(config.index.driver, 'postgres');
    assert.equal(config.storage.driver, 's3');
    assert.ok(registry.tmpfs.some((mount) => mount.startsWith('/var/lib/entrepot:uid=1000,')));
    assert.ok(Number.parseInt(registry.stop_grace_period, 10) * 1000 > config.http.drainTimeoutMs);
    assert.ok(registry.ulimits.nofile >= 4096);
  });

  test('gives all of them the database and the bucket that it makes, under secrets that nobody has chosen here', async () => {
    const { registry, database, storage, bucket } = (await read()).services;
    const { environment } = registry;
    assert.equal(environment['ENTREPOT_INDEX_POSTGRES_PASSWORD'], database.environment['POSTGRES_PASSWORD']);
    assert.equal(environment['ENTREPOT_INDEX_POSTGRES_USER'], database.environment['POSTGRES_USER']);
    assert.equal(environment['ENTREPOT_INDEX_POSTGRES_DATABASE'], database.environment['POSTGRES_DB']);
    assert.equal(environment['ENTREPOT_STORAGE_S3_SECRET_ACCESS_KEY'], storage.environment['ROOT_SECRET_KEY']);
    assert.equal(environment['ENTREPOT_STORAGE_S3_ACCESS_KEY_ID'], storage.environment['ROOT_ACCESS_KEY']);
    assert.ok(bucket.command.includes(`/data/${environment['ENTREPOT_STORAGE_S3_BUCKET']}`));
    assert.doesNotMatch(await fromTop('deploy/replicas.compose.yaml'), /(PASSWORD|SECRET\w*): (?!\$\{\w+:\?)\S/);
    for (const { image } of [database, storage, bucket]) assert.match(image, /:v?\d/);
  });

  test('is balanced by their readiness, and reached from this machine only', async () => {
    const { services, configs, networks } = await read();
    assert.deepEqual(services.balancer.ports, ['127.0.0.1:5000:5000']);
    const { content } = configs.haproxy;
    assert.match(content, /option httpchk GET \/readyz/);
    assert.match(content, /balance roundrobin/);
    assert.match(
      content,
      new RegExp(`server-template server ${services.registry.deploy.replicas} registry:5000 check`),
    );
    const trusted = services.registry.environment['ENTREPOT_HTTP_TRUSTED_PROXIES'];
    assert.deepEqual(networks.front.ipam.config, [{ subnet: trusted }]);
  });
});

describe('the manifests for Kubernetes', () => {
  const METADATA = z.object({ name: z.string(), namespace: z.string().optional() });
  const LABELS = z.object({ app: z.string() });
  const PROBE = z.object({ httpGet: z.object({ path: z.string(), port: z.string() }) });
  const DEPLOYMENT = z.object({
    metadata: METADATA,
    spec: z.object({
      replicas: z.number(),
      selector: z.object({ matchLabels: LABELS }),
      strategy: z.object({ rollingUpdate: z.object({ maxUnavailable: z.literal(0) }) }),
      template: z.object({
        metadata: z.object({ labels: LABELS }),
        spec: z.object({
          terminationGracePeriodSeconds: z.number(),
          securityContext: z.object({ runAsNonRoot: z.literal(true), runAsUser: z.literal(1000) }),
          containers: z.tuple([
            z.object({
              envFrom: z.array(z.record(z.string(), z.object({ name: z.string() }))),
              ports: z.array(z.object({ name: z.string(), containerPort: z.number() })),
              startupProbe: PROBE,
              livenessProbe: PROBE,
              readinessProbe: PROBE,
              lifecycle: z.object({ preStop: z.object({ sleep: z.object({ seconds: z.number() }) }) }),
              resources: z.object({ requests: VARIABLES, limits: VARIABLES }),
              securityContext: z.object({
                readOnlyRootFilesystem: z.literal(true),
                allowPrivilegeEscalation: z.literal(false),
              }),
              volumeMounts: z.array(z.object({ name: z.string(), mountPath: z.string() })),
            }),
          ]),
          volumes: z.array(z.looseObject({ name: z.string() })),
        }),
      }),
    }),
  });
  const DOCUMENT = z.looseObject({ apiVersion: z.string(), kind: z.string(), metadata: METADATA });

  async function documents() {
    const all = parseAllDocuments(await fromTop('deploy/kubernetes.yaml'));
    return all.map((document) => {
      assert.deepEqual(document.errors, []);
      return DOCUMENT.parse(document.toJS());
    });
  }

  async function ofKind<T extends z.ZodType>(kind: string, schema: T): Promise<z.infer<T>[]> {
    return (await documents()).filter((each) => each.kind === kind).map((each) => schema.parse(each));
  }

  async function deployment() {
    const [found] = await ofKind('Deployment', DEPLOYMENT);
    assert.ok(found);
    return found.spec;
  }

  /** The variables that a container gets. */
  async function variables(): Promise<Record<string, string>> {
    const [container] = (await deployment()).template.spec.containers;
    const sources = z.object({ metadata: METADATA, data: VARIABLES.optional(), stringData: VARIABLES.optional() });
    const named = new Map(
      [...(await ofKind('ConfigMap', sources)), ...(await ofKind('Secret', sources))].map((source) => [
        source.metadata.name + (source.data === undefined ? ' secret' : ''),
        source.data ?? source.stringData ?? {},
      ]),
    );
    const parts = container.envFrom.flatMap((from) =>
      Object.entries(from).map(([how, { name }]) => named.get(how === 'secretRef' ? `${name} secret` : name)),
    );
    assert.ok(parts.length === 2 && parts.every((part) => part !== undefined), 'a source that is not there');
    return Object.assign({}, ...parts) as Record<string, string>;
  }

  test('are all of one namespace, each kind that is needed', async () => {
    const all = await documents();
    const kinds = all.map(({ kind }) => kind);
    assert.deepEqual(kinds, [
      'Namespace',
      'Secret',
      'Secret',
      'ConfigMap',
      'Deployment',
      'Service',
      'PodDisruptionBudget',
    ]);
    for (const { kind, metadata } of all.slice(1)) assert.equal(metadata.namespace, all[0]?.metadata.name, kind);
  });

  test('configure servers that the image takes, with time to drain', async () => {
    const { template } = await deployment();
    const config = await readConfig({ env: { ...OF_IMAGE, ...(await variables()) } });
    assert.equal(config.index.driver, 'postgres');
    assert.equal(config.storage.driver, 's3');
    assert.equal(config.access.allowAnonymous, false);
    const [{ lifecycle, ports }] = template.spec.containers;
    const graceMs = template.spec.terminationGracePeriodSeconds * 1000;
    assert.ok(graceMs > config.http.drainTimeoutMs + lifecycle.preStop.sleep.seconds * 1000);
    assert.deepEqual(
      ports.map(({ containerPort }) => containerPort),
      [config.address.port, config.metrics.address?.port],
    );
  });

  test('ask the probes of the server, on the port where it listens', async () => {
    const [{ startupProbe, livenessProbe, readinessProbe, ports }] = (await deployment()).template.spec.containers;
    const paths = [startupProbe, livenessProbe, readinessProbe].map(({ httpGet }) => httpGet.path);
    assert.deepEqual(paths, ['/livez', '/livez', '/readyz']);
    for (const { httpGet } of [startupProbe, livenessProbe, readinessProbe]) assert.equal(httpGet.port, 'http');
    assert.equal(ports.find(({ name }) => name === 'http')?.containerPort, 5000);
  });

  test('run three with a root of their own each, on a file system that cannot be written', async () => {
    const { replicas, selector, template } = await deployment();
    assert.equal(replicas, 3);
    assert.deepEqual(template.metadata.labels, selector.matchLabels);
    const [{ volumeMounts }] = template.spec.containers;
    for (const directory of ['/var/lib/entrepot', '/tmp']) {
      const name = volumeMounts.find(({ mountPath }) => mountPath === directory)?.name;
      assert.deepEqual(template.spec.volumes.find((volume) => volume.name === name)?.['emptyDir'], {}, directory);
    }
    const selecting = z.object({ spec: z.looseObject({ selector: z.unknown() }) });
    const [service] = await ofKind('Service', selecting);
    const [budget] = await ofKind('PodDisruptionBudget', selecting);
    assert.deepEqual(service?.spec.selector, selector.matchLabels);
    assert.deepEqual(budget?.spec.selector, selector);
  });
});
