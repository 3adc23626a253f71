// A graceful stop under load: every frame that was executed is answered, every connection gets 1001
// behind its last reply, and what was not answered was not executed.

import { afterEach, describe, expect, it } from 'vitest';
import { chooseEngine } from '../../ts/engine/load.js';
import { OperationCode } from '../../ts/wire/generated/rondo/wire/operation-code.js';
import { Status } from '../../ts/wire/status.js';
import { Fixture, frameOf, pairings, type RawClient, tick, until } from './server-fixture.js';

const INCREMENTS_PER_FRAME = 20;
const ONE = new Uint8Array(8).fill(1, 0, 1);

for (const { transport, engine, skip } of pairings()) {
  const name = `stop over ${transport} with the ${engine} engine`;
  if (skip !== undefined) {
    describe(name, () => {
      it.skip(`not here: ${skip}`, () => undefined);
    });
    continue;
  }

  describe(name, () => {
    let fixture: Fixture | undefined;

    afterEach(async () => {
      await fixture?.stop();
      fixture = undefined;
    });

    it('answers what it executed and closes with 1001, under load', async () => {
      let executed = -1;
      const choice = chooseEngine(engine);
      const started = await Fixture.start(
        { transport },
        {
          engine: {
            ...choice,
            create: (options) => {
              const inner = choice.create(options);
              const close = inner.close.bind(inner);
              inner.close = () => {
                executed = started.records();
                close();
              };
              return inner;
            },
          },
        },
      );
      fixture = started;
      const clients = await Promise.all(Array.from({ length: 20 }, () => started.greet()));
      const loads = clients.map((client, index) => load(client, `counter/${index}`));
      await until(() => started.records() > 5_000, 'some load');
      await started.pump(started.server.stop());

      const answered = await Promise.all(loads);
      const closes = await Promise.all(clients.map(({ closed }) => closed));
      for (const { code, reason } of closes) {
        expect(code).toBe(1001);
        expect(reason).toMatch(/stopping/);
      }
      expect(answered.reduce((sum, count) => sum + count, 0)).toBe(executed);
      expect(started.server.worker.phase).toBe('stopped');
      await expect(started.connect()).rejects.toThrow('ECONNREFUSED');
    });

    it('gives a peer that reads late its replies, then 1001', async () => {
      fixture = await Fixture.start({ transport, engine });
      const client = await fixture.greet();
      await client.put('large', new Uint8Array(1_000_000));
      client.socket.pause();
      const get = frameOf([{ code: OperationCode.Get, key: 'large' }]);
      for (let index = 0; index < 24; index++) client.socket.send(get);
      const { counters } = fixture.server.worker;
      await until(() => counters.frames === 25, 'the frames');
      const stopped = fixture.server.stop();
      setTimeout(() => client.socket.resume(), 100);
      await fixture.pump(stopped);
      for (let index = 0; index < 24; index++) {
        expect((await client.results())[0]?.status).toBe(Status.Ok);
      }
      expect((await client.closed).code).toBe(1001);
    });

    it('tells its readiness while it stops, and stops once however often it is asked', async () => {
      fixture = await Fixture.start({ transport, engine });
      const { worker } = fixture.server;
      expect(worker.onHttp({ method: 'GET', path: '/readyz', authorization: undefined })).toEqual(
        expect.objectContaining({ status: 200 }),
      );
      const first = fixture.server.stop();
      expect(fixture.server.stop()).toBe(first);
      expect(worker.onHttp({ method: 'GET', path: '/readyz', authorization: undefined })).toEqual(
        expect.objectContaining({ status: 503, body: '{"status":"stopping"}\n' }),
      );
      await fixture.pump(first);
    });
  });
}

/** Sends increments as fast as the socket takes them until it is closed; returns those answered. */
async function load(client: RawClient, key: string): Promise<number> {
  const frame = frameOf(
    Array.from({ length: INCREMENTS_PER_FRAME }, () => {
      return { code: OperationCode.Increment, key, value: ONE };
    }),
  );
  const { socket } = client;
  const sending = (async () => {
    while (socket.readyState === socket.OPEN) {
      for (let index = 0; index < 10; index++) socket.send(frame, () => undefined);
      await tick();
    }
  })();
  let answered = 0;
  try {
    for (;;) {
      const results = await client.results();
      expect(results.every(({ status }) => status === Status.Ok)).toBe(true);
      answered += results.length;
    }
  } catch {
    // The connection has been closed, which is how the load ends; the test looks at the code.
  }
  await sending;
  return answered;
}
