// Sessions of a whole node: hello, resume, wrong secrets, moved and ended sessions, over real sockets; and that
// none of it shows before it is durable.

import { afterEach, describe, expect, it } from 'vitest';
import { OperationCode } from '../../ts/wire/generated/rondo/wire/operation-code.js';
import type { HelloFrame, WelcomeFrame } from '../../ts/wire/hello.js';
import { FLAG_EPHEMERAL, FLAG_ONCE } from '../../ts/wire/layout.js';
import { SESSION_TTL_MS_MAX, SESSION_TTL_MS_MIN } from '../../ts/wire/limits.js';
import { CLOSE_CODE_BASE, Status } from '../../ts/wire/status.js';
import {
  patiently,
  resumed,
  send,
  startWithLog,
  TTL_MS,
  withSession,
} from './coordination-fixture.js';
import { Fixture, frameOf, pairings, until } from './server-fixture.js';

const { Put, Renew, EndSession, Watch } = OperationCode;

for (const { transport, engine, skip } of pairings()) {
  const name = `sessions over ${transport} with the ${engine} engine`;
  if (skip !== undefined) {
    describe(name, () => {
      it.skip(`not here: ${skip}`, () => undefined);
    });
    continue;
  }

  describe(name, () => {
    let fixture: Fixture;

    afterEach(() => fixture.stop());

    const start = async (settings = {}) => {
      fixture = await Fixture.start({ transport, engine, ...settings });
    };

    /** The code and reason with which a new connection that says this hello is closed. */
    async function refusal(fields: Partial<HelloFrame>) {
      const client = await fixture.connect();
      await expect(client.helloWith(fields)).rejects.toThrow('closed with');
      const { code, reason } = await client.closed;
      return { status: code - CLOSE_CODE_BASE, reason };
    }

    it('begin at hello, and connections without one are as before', async () => {
      await start();
      const plain = await fixture.connect();
      expect(await plain.helloWith({})).toMatchObject({ session: 0, sessionTtlMs: 0, sessions: 0 });
      send(plain, { code: Renew, key: '', id: 4 });
      expect(await plain.results()).toMatchObject([{ id: 4, status: Status.SessionRequired }]);

      const { client, welcome } = await withSession(fixture, 5_000);
      expect(welcome).toMatchObject({ sessionTtlMs: 5_000, sessionResumed: false, sessions: 1 });
      expect(welcome.answersRemembered).toBe(false);
      expect(Number.isSafeInteger(welcome.session) && welcome.session > 0).toBe(true);
      expect(welcome.sessionSecret).toHaveLength(16);
      expect(welcome.position).toBe(1);
      expect(welcome.limits).toMatchObject({
        sessionTtlMsMin: SESSION_TTL_MS_MIN,
        sessionTtlMsMax: SESSION_TTL_MS_MAX,
      });
      send(client, { code: Renew, key: '', id: 4 });
      expect(await client.results()).toMatchObject([{ id: 4, status: Status.Ok, ttlMs: 5_000 }]);
      const { welcome: other } = await withSession(fixture);
      expect(other.session).not.toBe(welcome.session);
      expect(other.sessionSecret).not.toEqual(welcome.sessionSecret);
    });

    it('go on over another connection, which the first one learns', async () => {
      await start();
      const { client, welcome } = await withSession(fixture);
      const second = await resumed(fixture, welcome, { sessionTtlMs: 1_000 });
      expect(second.welcome).toMatchObject({
        session: welcome.session,
        sessionTtlMs: TTL_MS,
        sessionResumed: true,
        answersRemembered: true,
        sessions: 1,
      });
      expect(second.welcome.sessionSecret).toHaveLength(0);
      const { code, reason } = await client.closed;
      expect(code).toBe(CLOSE_CODE_BASE + Status.SessionMoved);
      expect(reason).toMatch(/another connection/);
      send(second.client, { code: Renew, key: '', id: 1 });
      expect(await second.client.results()).toMatchObject([{ status: Status.Ok }]);
      expect(fixture.takeWarnings()).toEqual([]);
    });

    it('outlive their connection until their time is over', async () => {
      await start();
      const { client, welcome } = await withSession(fixture);
      client.socket.close();
      await client.closed;
      fixture.clock.advance(TTL_MS - 100);
      expect((await resumed(fixture, welcome)).welcome.sessionResumed).toBe(true);
      fixture.clock.advance(TTL_MS + 100);
      const { session, sessionSecret } = welcome;
      expect(await refusal({ session, sessionSecret })).toMatchObject({
        status: Status.SessionUnknown,
        reason: expect.stringMatching(/ask for a new one/) as string,
      });
      const again = await resumed(fixture, welcome, { sessionTtlMs: 2_000 });
      expect(again.welcome).toMatchObject({ sessionResumed: false, sessionTtlMs: 2_000 });
      expect(again.welcome.session).not.toBe(session);
    });

    it('that end close their connection', async () => {
      await start();
      const { client, welcome } = await withSession(fixture);
      send(client, { code: Put, key: 'a', id: 1, flags: FLAG_EPHEMERAL, value: new Uint8Array(1) });
      expect(await client.results()).toMatchObject([{ status: Status.Ok }]);
      fixture.clock.advance(TTL_MS + 100);
      expect((await client.closed).code).toBe(CLOSE_CODE_BASE + Status.SessionUnknown);
      const plain = await fixture.greet();
      expect(await plain.get('a')).toMatchObject({ status: Status.NotFound });
      expect((await refusal(pick(welcome))).status).toBe(Status.SessionUnknown);
    });

    it('live as long as frames come', async () => {
      await start();
      const { client } = await withSession(fixture);
      for (let round = 0; round < 5; round++) {
        fixture.clock.advance(TTL_MS * 0.7);
        expect(await client.get('a')).toMatchObject({ status: Status.NotFound });
      }
    });

    it('are ended by their client, who hears it before the close', async () => {
      await start();
      const { client } = await withSession(fixture);
      send(client, { code: EndSession, key: '', id: 1 }, { code: Renew, key: '', id: 2 });
      expect(await client.results()).toMatchObject([
        { id: 1, status: Status.Ok },
        { id: 2, status: Status.SessionUnknown },
      ]);
      expect((await client.closed).code).toBe(CLOSE_CODE_BASE + Status.SessionUnknown);
      expect(fixture.takeWarnings()).toEqual([]);
    });

    it('are refused to whoever does not know the secret, and stay where they are', async () => {
      await start();
      const { client, welcome } = await withSession(fixture);
      const { session, sessionSecret } = welcome;
      const wrong = sessionSecret.map((byte) => byte ^ 1);
      for (const secret of [
        wrong,
        new Uint8Array(0),
        sessionSecret.slice(0, 15),
        new Uint8Array(17),
      ]) {
        const { status, reason } = await refusal({
          session,
          sessionSecret: secret,
          sessionTtlMs: 5_000,
        });
        expect(status).toBe(Status.SessionForbidden);
        expect(reason).toMatch(/secret/);
      }
      send(client, { code: Renew, key: '', id: 1 });
      expect(await client.results()).toMatchObject([{ status: Status.Ok }]);
    });

    it('are refused with what is wrong about them', async () => {
      await start({ sessionsMax: 2 });
      const secret = new Uint8Array(16);
      for (const session of [1, 2 ** 53 - 1, 2 ** 60, 2 ** 64 - 2048]) {
        const { status } = await refusal({ session, sessionSecret: secret });
        expect(status).toBe(Status.SessionUnknown);
      }
      for (const sessionTtlMs of [1, SESSION_TTL_MS_MIN - 1, SESSION_TTL_MS_MAX + 1, 2 ** 63]) {
        const { status, reason } = await refusal({ sessionTtlMs });
        expect(status).toBe(Status.TtlOutOfRange);
        expect(reason).toMatch(/1000 to 86400000 ms/);
      }
      await withSession(fixture);
      await withSession(fixture);
      const { status, reason } = await refusal({ sessionTtlMs: 5_000 });
      expect(status).toBe(Status.ResourceExhausted);
      expect(reason).toMatch(/--sessions-max/);
      expect(await (await fixture.connect()).helloWith({})).toMatchObject({ sessions: 2 });
    });

    it('remember answers', async () => {
      await start();
      const { client, welcome } = await withSession(fixture);
      const put = { code: Put, key: 'a', id: 9, flags: FLAG_ONCE, value: new Uint8Array(3) };
      send(client, put);
      const [first] = await client.results();
      const { client: second } = await resumed(fixture, welcome);
      send(second, put);
      expect(await second.results()).toEqual([first]);
    });

    it('show in the metrics', async () => {
      await start();
      await withSession(fixture);
      const { client } = await withSession(fixture);
      client.socket.close();
      await client.closed;
      await until(() => fixture.server.worker.sessions.connected === 1, 'the close');
      const text = await (await fetch(`${fixture.http}/metrics`)).text();
      expect(text).toMatch(/^rondo_sessions 2$/m);
      expect(text).toMatch(/^rondo_sessions_connected 1$/m);
      expect(text).toMatch(/^rondo_watches 0$/m);
    });

    it('may watch, and show what they watch', async () => {
      await start();
      const { client } = await withSession(fixture);
      send(client, { code: Watch, key: 'a', id: 3, limit: 1 });
      expect(await client.results()).toMatchObject([{ id: 3, status: Status.Ok, revision: 1 }]);
      expect(await (await fixture.connect()).helloWith({})).toMatchObject({ watches: 1 });
      client.socket.close();
      await client.closed;
      await until(() => fixture.server.worker.watches.count === 0, 'the end of the watch');
    });

    it('are welcomed when they are durable, and frames behind the hello wait for it', async () => {
      const { fixture: made, log } = await startWithLog({ transport, engine });
      fixture = made;
      log.delayMs = 10;
      const client = await fixture.connect();
      const welcomed = client.helloWith({ sessionTtlMs: TTL_MS });
      send(client, { code: Renew, key: '', id: 1 });
      expect(await patiently(welcomed)).toBe('nothing');
      expect(fixture.server.worker.counters.frames).toBe(0);
      fixture.clock.advance(10);
      const welcome = await welcomed;
      expect(welcome.session).toBeGreaterThan(0);
      expect(await client.results()).toMatchObject([{ id: 1, status: Status.Ok }]);
      // Whoever knows the secret is not kept waiting.
      const writer = await fixture.greet();
      writer.socket.send(putFrame());
      await until(() => log.appended === 2, 'the put');
      expect((await resumed(fixture, welcome)).welcome.sessionResumed).toBe(true);
      expect(log.durable).toBe(1);
    });

    it('are not called ended before that is durable', async () => {
      const { fixture: made, log } = await startWithLog({ transport, engine });
      fixture = made;
      const { client, welcome } = await withSession(fixture);
      log.delayMs = 1_000;
      fixture.clock.advance(TTL_MS + 50);
      expect(await patiently(client.closed)).toBe('nothing');
      const late = await fixture.connect();
      const answer = late.helloWith(pick(welcome)).catch(() => late.closed);
      expect(await patiently(answer)).toBe('nothing');
      fixture.clock.advance(1_000);
      const unknown = CLOSE_CODE_BASE + Status.SessionUnknown;
      expect([(await client.closed).code, (await late.closed).code]).toEqual([unknown, unknown]);
    });

    it('are refused while the disk is full, and resumed all the same', async () => {
      const { fixture: made, log } = await startWithLog({ transport, engine });
      fixture = made;
      const { welcome } = await withSession(fixture);
      log.refuse('disk_full');
      const { status, reason } = await refusal({ sessionTtlMs: 5_000 });
      expect(status).toBe(Status.DiskFull);
      expect(reason).toMatch(/free space/);
      expect((await resumed(fixture, welcome)).welcome.sessionResumed).toBe(true);
    });

    it('do not wait for the log under interval', async () => {
      const { fixture: made, log } = await startWithLog({ transport, engine }, false);
      fixture = made;
      log.delayMs = 3_600_000;
      const { client, welcome } = await withSession(fixture);
      expect(welcome.session).toBeGreaterThan(0);
      send(client, { code: EndSession, key: '', id: 1 });
      expect(await client.results()).toMatchObject([{ status: Status.Ok }]);
      expect((await client.closed).code).toBe(CLOSE_CODE_BASE + Status.SessionUnknown);
      expect(log.durable).toBe(0);
    });
  });
}

function pick({ session, sessionSecret }: WelcomeFrame): Partial<HelloFrame> {
  return { session, sessionSecret };
}

function putFrame(): Uint8Array {
  return frameOf([{ code: Put, key: 'other', value: new Uint8Array(1) }]);
}
