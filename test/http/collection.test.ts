import assert from 'node:assert/strict';
import { it } from 'node:test';
import { name, pushBlob } from '../harness/registry.ts';
import { assertRefused } from './refusal.ts';
import { describeService } from './suite.ts';

interface Status {
  readonly enabled: boolean;
  readonly graceMs: number;
  readonly queued: number;
  readonly refusal?: string;
  readonly holds: readonly { readonly id: string; readonly reason: string; readonly by: string | null }[];
}

describeService('/api/v1/gc', { env: { ENTREPOT_COLLECTION_GRACE: '2h' } }, (setup) => {
  it('says how the collection is, what would go, and from when', async () => {
    const before = Date.now();
    const digest = await pushBlob(setup.service.service.registry, name('team/app'), 'nobody needs this');
    const status = (await setup.client.get('/api/v1/gc')).json() as Status;
    assert.deepEqual([status.enabled, status.graceMs, status.queued, status.refusal], [true, 7_200_000, 1, undefined]);
    const { garbage } = (await setup.client.get('/api/v1/gc/plan')).json() as {
      garbage: { digest: string; size: number; removableFrom: string }[];
    };
    assert.deepEqual(
      garbage.map((each) => [each.digest, each.size]),
      [[digest, 17]],
    );
    const from = Date.parse(garbage[0]?.removableFrom ?? '');
    assert.ok(from >= before + 7_200_000 && from <= Date.now() + 7_200_000, String(from));
  });

  it('gives the plan in pages', async () => {
    for (const text of ['one', 'two', 'three']) {
      await pushBlob(setup.service.service.registry, name('paged/app'), text);
    }
    const seen = [];
    let query = '?n=2';
    for (let pages = 0; query !== ''; pages++) {
      assert.ok(pages < 10);
      const page = (await setup.client.get(`/api/v1/gc/plan${query}`)).json() as {
        garbage: { digest: string }[];
        next?: string;
      };
      seen.push(...page.garbage.map(({ digest }) => digest));
      query = page.next === undefined ? '' : `?n=2&last=${page.next}`;
    }
    assert.ok(seen.length >= 3);
    assert.deepEqual(seen, [...new Set(seen)].toSorted());
  });

  for (const n of ['0', '-1', 'x', '1.5', '10001']) {
    it(`refuses pages of ${n}`, async () => {
      assertRefused(await setup.client.get(`/api/v1/gc/plan?n=${n}`), 400, 'UNSUPPORTED', /from 1 to 10000/);
    });
  }

  it('waits for as long as an operator wants it to', async () => {
    const held = await setup.client.put('/api/v1/gc/hold', '{"reason":"we look at something"}');
    assert.equal((held.json() as Status).refusal, 'held: we look at something; look at it, then: entrepot gc release');
    const again = await setup.client.put('/api/v1/gc/hold', '');
    const { refusal, holds } = again.json() as Status;
    assert.equal(refusal, 'held: we look at something; an operator wants it so; look at it, then: entrepot gc release');
    assert.deepEqual(
      holds.map(({ reason, by }) => [reason, by]),
      [
        ['we look at something', 'somebody'],
        ['an operator wants it so', 'somebody'],
      ],
    );
    const one = await setup.client.delete(`/api/v1/gc/hold/${holds[0]?.id}`);
    assert.equal(
      (one.json() as Status).refusal,
      'held: an operator wants it so; look at it, then: entrepot gc release',
    );
    const gone = await setup.client.delete(`/api/v1/gc/hold/${holds[0]?.id}`);
    assertRefused(gone, 404, 'NAME_UNKNOWN', /there is no such hold/);
    assert.equal(((await setup.client.delete('/api/v1/gc/hold')).json() as Status).refusal, undefined);
  });

  it('says that it does nothing while the registry is read-only', async () => {
    await setup.client.put('/api/v1/read-only', '{"readOnly":true}');
    assert.equal(((await setup.client.get('/api/v1/gc')).json() as Status).refusal, 'the registry is read-only');
    await setup.client.put('/api/v1/read-only', '{"readOnly":false}');
    assert.equal(((await setup.client.get('/api/v1/gc')).json() as Status).refusal, undefined);
  });

  for (const body of [
    '{',
    '{"reason":1}',
    '{"reason":""}',
    '{"reason":"\\u001b[2J"}',
    '[]',
    `{"reason":"${'x'.repeat(301)}"}`,
  ]) {
    it(`refuses to wait because of ${body.slice(0, 20)}`, async () => {
      assertRefused(await setup.client.put('/api/v1/gc/hold', body), 400, 'UNSUPPORTED', /the body is empty, or/);
      assert.equal(((await setup.client.get('/api/v1/gc')).json() as Status).refusal, undefined);
    });
  }
});

describeService('/api/v1/tasks', {}, (setup) => {
  it('shows what was asked for, and takes it back', async () => {
    const asked = await setup.client.send('POST', '/api/v1/gc/run');
    assert.equal(asked.status, 202);
    const { task } = asked.json() as { task: number };
    assert.equal(asked.header('Location'), `/api/v1/tasks/${task}`);
    const shown = (await setup.client.get(`/api/v1/tasks/${task}`)).json() as Record<string, unknown>;
    // Nobody does background work in this process.
    assert.deepEqual([shown['kind'], shown['state'], shown['argument']], ['collect', 'waiting', {}]);
    const { tasks } = (await setup.client.get('/api/v1/tasks')).json() as { tasks: { id: number }[] };
    assert.deepEqual(
      tasks.map(({ id }) => id),
      [task],
    );
    assert.equal((await setup.client.delete(`/api/v1/tasks/${task}`)).status, 202);
    const { service } = setup.service;
    await service.metadata.tasks.end(task, { failure: 'canceled' }, Date.now());
    assertRefused(await setup.client.delete(`/api/v1/tasks/${task}`), 409, 'UNSUPPORTED', /has ended already/);
    const ended = (await setup.client.get(`/api/v1/tasks/${task}`)).json() as Record<string, unknown>;
    assert.deepEqual([ended['state'], ended['failure']], ['failed', 'canceled']);
  });

  for (const id of ['0', '99999', 'x', '-1', '1e3', `${2 ** 60}`]) {
    it(`knows no task ${id}`, async () => {
      assertRefused(await setup.client.get(`/api/v1/tasks/${id}`), 404, 'NAME_UNKNOWN', /no such task/);
    });
  }

  it('takes its own methods only', async () => {
    assertRefused(await setup.client.put('/api/v1/tasks', ''), 405, 'UNSUPPORTED');
    assertRefused(await setup.client.get('/api/v1/gc/run'), 405, 'UNSUPPORTED');
  });
});
