// Who gets in: tokens, browser origins, addresses; and what the HTTP side tells to whom.

import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { chooseEngine } from '../../ts/engine/load.js';
import { OperationCode } from '../../ts/wire/generated/rondo/wire/operation-code.js';
import { decodeWelcome } from '../../ts/wire/hello.js';
import { CLOSE_CODE_BASE, Status } from '../../ts/wire/status.js';
import { Fixture, frameOf, pairings, tick, until } from './server-fixture.js';

const ORIGIN = 'https://app.example.com';

for (const { transport, engine, skip } of pairings().filter(({ engine }) => engine === 'ts')) {
  const name = `access over ${transport}`;
  if (skip !== undefined) {
    describe(name, () => {
      it.skip(`not here: ${skip}`, () => undefined);
    });
    continue;
  }

  describe(name, () => {
    let fixture: Fixture;
    let folder: string;
    let tokenFile: string;

    beforeAll(() => {
      folder = mkdtempSync(join(tmpdir(), 'rondo-access-'));
      tokenFile = join(folder, 'tokens');
      writeFileSync(tokenFile, '# two tokens\nfirst-token\n\nsecond-token\n', { mode: 0o600 });
    });
    afterAll(() => rmSync(folder, { recursive: true }));
    afterEach(() => fixture.stop());

    it('lets in with a token in the hello or in the header', async () => {
      fixture = await Fixture.start({ transport, engine, tokenFile });
      const byHello = await fixture.connect();
      expect(decodeWelcome(await byHello.hello('second-token'))?.protocol).toBe(1);
      const byHeader = await fixture.connect({ headers: { authorization: 'Bearer first-token' } });
      await byHeader.hello();
      expect((await byHeader.put('a', 'b')).status).toBe(Status.Ok);
      expect(fixture.takeWarnings()).toEqual([]);
    });

    it.each([
      { what: 'no token', headers: {}, token: '', path: '/' },
      { what: 'a wrong token', headers: {}, token: 'first-toke', path: '/' },
      { what: 'a wrong header', headers: { authorization: 'Bearer nope' }, token: '', path: '/' },
      {
        what: 'another scheme',
        headers: { authorization: 'Basic first-token' },
        token: '',
        path: '/',
      },
      { what: 'a token in the URL', headers: {}, token: '', path: '/?token=first-token' },
      { what: 'a comment as token', headers: {}, token: '# two tokens', path: '/' },
    ])('keeps out with $what', async ({ headers, token, path }) => {
      fixture = await Fixture.start({ transport, engine, tokenFile });
      const client = await fixture.connect({ headers }, path);
      await expect(client.hello(token)).rejects.toThrow();
      const { code, reason } = await client.closed;
      expect(code).toBe(CLOSE_CODE_BASE + Status.Unauthenticated);
      expect(reason).toMatch(/token is required/);
      const warnings = fixture.takeWarnings();
      expect(warnings).toMatchObject([{ status: 'UNAUTHENTICATED' }]);
      expect(JSON.stringify(warnings)).not.toContain('first-token');
    });

    it('asks for a token at /metrics, and not at /healthz and /readyz', async () => {
      fixture = await Fixture.start({ transport, engine, tokenFile });
      const without = await fetch(`${fixture.http}/metrics`);
      expect(without.status).toBe(401);
      expect(without.headers.get('www-authenticate')).toBe('Bearer');
      const headers = { authorization: 'Bearer first-token' };
      expect((await fetch(`${fixture.http}/metrics`, { headers })).status).toBe(200);
      expect(await (await fetch(`${fixture.http}/healthz`)).json()).toEqual({ status: 'ok' });
      expect(await (await fetch(`${fixture.http}/readyz`)).json()).toEqual({ status: 'ready' });
    });

    it('refuses browser origins that are not on the list', async () => {
      fixture = await Fixture.start({ transport, engine, allowOrigin: [ORIGIN] });
      const allowed = await fixture.greet({ headers: { origin: ORIGIN } });
      expect((await allowed.get('a')).status).toBe(Status.NotFound);
      for (const origin of [
        'https://evil.example',
        `${ORIGIN}.evil.example`,
        'http://app.example.com',
        'null',
        `${ORIGIN}:8443`,
      ]) {
        await expect(fixture.connect({ headers: { origin } })).rejects.toThrow('403');
        expect(fixture.takeWarnings()).toMatchObject([
          { event: 'upgrade_refused', httpStatus: 403, origin },
        ]);
      }
    });

    it('refuses every origin by default, and allows all with a loud line', async () => {
      fixture = await Fixture.start({ transport, engine });
      await expect(fixture.connect({ headers: { origin: ORIGIN } })).rejects.toThrow('403');
      await fixture.stop();
      fixture = await Fixture.start({ transport, engine, allowOrigin: ['*'] });
      expect(fixture.takeWarnings()).toMatchObject([
        { event: 'insecure', msg: expect.stringContaining('INSECURE') as string },
      ]);
      await fixture.greet({ headers: { origin: 'https://any.example' } });
    });

    it('warns of a token file that others can read', async () => {
      const open = join(folder, 'open-tokens');
      writeFileSync(open, 'abc\n');
      chmodSync(open, 0o644);
      fixture = await Fixture.start({ transport, engine, tokenFile: open });
      const warnings = fixture.takeWarnings();
      expect(warnings.map(({ event }) => event)).toEqual(
        process.platform === 'win32' ? [] : ['token_file'],
      );
    });

    it('listens beyond loopback only with tokens, or loudly', async () => {
      const host = '0.0.0.0';
      await expect(Fixture.start({ transport, engine, host })).rejects.toMatchObject({
        code: 'HOST_NOT_PROTECTED',
      });
      fixture = await Fixture.start({ transport, engine, host, insecure: true });
      expect(fixture.takeWarnings()).toMatchObject([
        { event: 'insecure', msg: expect.stringContaining('INSECURE') as string },
      ]);
      await fixture.greet();
      await fixture.stop();
      fixture = await Fixture.start({ transport, engine, host, tokenFile });
      expect(fixture.takeWarnings()).toEqual([]);
    });

    it('shows its figures for Prometheus', async () => {
      fixture = await Fixture.start({ transport, engine, memoryMax: 1_000_000 });
      const client = await fixture.greet();
      await client.put('a', 'b');
      await client.get('a');
      await client.get('absent');
      await client.request(frameOf([{ code: 77, key: 'x' }]));
      const bad = await fixture.connect();
      bad.socket.send('text');
      await bad.closed;
      const response = await fetch(`${fixture.http}/metrics`);
      expect(response.headers.get('content-type')).toMatch(/^text\/plain; version=0\.0\.4/);
      const text = await response.text();
      for (const line of [
        'rondo_frames_total 4',
        'rondo_frames_refused_total{status="TEXT_NOT_SUPPORTED"} 1',
        'rondo_operations_total{code="put",status="OK"} 1',
        'rondo_operations_total{code="get",status="OK"} 1',
        'rondo_operations_total{code="get",status="NOT_FOUND"} 1',
        'rondo_operations_total{code="unknown",status="UNKNOWN_OPERATION"} 1',
        'rondo_records_total 1',
        'rondo_connections 1',
        'rondo_connections_total 2',
        'rondo_keys 1',
        'rondo_memory_max_bytes 1000000',
        'rondo_frame_duration_seconds_bucket{le="+Inf"} 1',
        'rondo_frame_duration_seconds_count 1',
        `rondo_engine_info{kind="ts",reason="${fixture.server.engine.reason}"} 1`,
      ]) {
        expect(text.split('\n')).toContain(line);
      }
      expect(text).toMatch(/^rondo_received_bytes_total [1-9]/m);
      expect(text).toMatch(/^rondo_sent_bytes_total [1-9]/m);
      expect(text).toMatch(/^rondo_record_bytes_total [1-9]/m);
      expect(text).toMatch(/^rondo_memory_bytes [1-9]/m);
      expect(text).toMatch(/^rondo_transport_info\{kind="/m);
      expect(text).toMatch(/^process_resident_memory_bytes [1-9]/m);
      expect(text).toMatch(/^# HELP rondo_frame_duration_seconds .*one frame in 16 is timed/m);
      expect(await (await fetch(`${fixture.http}/metrics`, { method: 'HEAD' })).text()).toBe('');
    });

    it('tells who it is in the welcome', async () => {
      fixture = await Fixture.start({ transport, engine, partitions: 8, memoryMax: 5_000 });
      const client = await fixture.connect();
      const welcome = decodeWelcome(await client.hello());
      expect(welcome).toMatchObject({
        protocol: 1,
        engine: 'ts',
        engineReason: fixture.server.engine.reason,
        transport,
        durability: 'none',
        partitions: 8,
        memoryBytesMax: 5_000,
        connections: 1,
        limits: { valueBytesMax: 1024 * 1024, frameBytesMax: 4 * 1024 * 1024 },
      });
    });

    it('stops serving for good when the engine breaks', async () => {
      const choice = chooseEngine('ts');
      let isBroken = false;
      fixture = await Fixture.start(
        { transport },
        {
          engine: {
            ...choice,
            create: (options) => {
              const inner = choice.create(options);
              const execute = inner.execute.bind(inner);
              inner.execute = (frame, first, now) => {
                if (isBroken) throw new Error('lost count');
                return execute(frame, first, now);
              };
              return inner;
            },
          },
        },
      );
      const client = await fixture.greet();
      const other = await fixture.greet();
      await client.put('a', 'b');
      isBroken = true;
      client.socket.send(frameOf([{ code: OperationCode.Get, key: 'a' }]));
      await until(() => fixture.fatal.length > 0, 'the fatal error');
      expect(fixture.fatal).toMatchObject([{ message: 'lost count' }]);
      isBroken = false;
      other.socket.send(frameOf([{ code: OperationCode.Get, key: 'a' }]));
      expect(await Promise.race([other.next(), tick(50)])).toBeUndefined();
      await expect(fixture.connect()).rejects.toThrow();
      expect(fixture.server.worker.phase).toBe('failed');
    });
  });
}
