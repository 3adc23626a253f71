// Everything a peer can get wrong, over both transports and with both engines: it gets its own close
// code or status, the operator gets exactly one line, and nothing else changes.

import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  CLOSE_REASON_BYTES_MAX,
  HELLO_DEADLINE_MS_DEFAULT,
  PAYLOAD_SLACK_BYTES,
} from '../../node/limits.js';
import { OperationCode } from '../../ts/wire/generated/rondo/wire/operation-code.js';
import { encodeHello } from '../../ts/wire/hello.js';
import {
  DATA_OFFSET_AT,
  HEADER_BYTES,
  OPERATION_KEY_LENGTH,
  OPERATION_VALUE_LENGTH,
  PROTOCOL_VERSION,
  VECTOR_LENGTH_AT,
} from '../../ts/wire/layout.js';
import {
  FRAME_BYTES_MAX_DEFAULT,
  HELLO_BYTES_MAX,
  KEY_BYTES_MAX,
  OPERATIONS_PER_FRAME_MAX,
  VALUE_BYTES_MAX_DEFAULT,
} from '../../ts/wire/limits.js';
import { CLOSE_CODE_BASE, Status, statusName } from '../../ts/wire/status.js';
import { helloOf } from '../drive/hello.js';
import {
  Fixture,
  frameOf,
  type LogEntry,
  pairings,
  type RawClient,
  tick,
  until,
} from './server-fixture.js';

const { Get, Put } = OperationCode;
const hello = (protocol = PROTOCOL_VERSION) => encodeHello(helloOf({ protocol }));

/** A valid frame with one 32-bit field overwritten. */
function patched(at: number, value: number): Uint8Array<ArrayBuffer> {
  const frame = frameOf([{ code: Get, key: 'abc' }]);
  new DataView(frame.buffer).setUint32(at, value, true);
  return frame;
}

const many = (count: number) =>
  frameOf(Array.from({ length: count }, () => ({ code: Get, key: 'k' })));

interface Refused {
  readonly what: string;
  readonly bytes: () => Uint8Array | string;
  readonly status: Status;
  readonly says: RegExp;
}

const BEFORE_HELLO: Refused[] = [
  {
    what: 'a request before the hello',
    bytes: () => frameOf([{ code: Get, key: 'a' }]),
    status: Status.HelloRequired,
    says: /Hello/,
  },
  {
    what: 'an empty message before the hello',
    bytes: () => new Uint8Array(0),
    status: Status.HelloRequired,
    says: /Hello/,
  },
  {
    what: 'a first frame over the hello bound',
    bytes: () => new Uint8Array(HELLO_BYTES_MAX + 1),
    status: Status.HelloRequired,
    says: /8192/,
  },
  {
    what: 'a hello cut short',
    bytes: () => hello().subarray(0, 30),
    status: Status.HelloRequired,
    says: /valid Hello/,
  },
  {
    what: 'a hello of another protocol version',
    bytes: () => hello(PROTOCOL_VERSION + 1),
    status: Status.ProtocolMismatch,
    says: /protocol 1/,
  },
  {
    what: 'a text message before the hello',
    bytes: () => 'hello',
    status: Status.TextNotSupported,
    says: /binary/,
  },
];

const AFTER_HELLO: Refused[] = [
  { what: 'a text message', bytes: () => '{}', status: Status.TextNotSupported, says: /binary/ },
  { what: 'a second hello', bytes: () => hello(), status: Status.Malformed, says: /request frame/ },
  {
    what: 'an empty message',
    bytes: () => new Uint8Array(0),
    status: Status.Malformed,
    says: /request frame/,
  },
  {
    what: 'a truncated frame',
    bytes: () => frameOf([{ code: Put, key: 'abc', value: new Uint8Array(50) }]).subarray(0, 90),
    status: Status.Malformed,
    says: /request frame/,
  },
  {
    what: 'a root offset out of range',
    bytes: () => patched(0, 0xffff_fff0),
    status: Status.Malformed,
    says: /request frame/,
  },
  {
    what: 'a data offset out of range',
    bytes: () => patched(DATA_OFFSET_AT, 0x7fff_fff0),
    status: Status.Malformed,
    says: /request frame/,
  },
  {
    what: 'another file identifier',
    bytes: () => patched(4, 0x5858_5858),
    status: Status.Malformed,
    says: /request frame/,
  },
  {
    what: 'a key length out of range',
    bytes: () => {
      const frame = frameOf([{ code: Get, key: 'abc' }]);
      new DataView(frame.buffer).setUint16(HEADER_BYTES + OPERATION_KEY_LENGTH, 60_000, true);
      return frame;
    },
    status: Status.Malformed,
    says: /request frame/,
  },
  {
    what: 'a value length out of range',
    bytes: () => patched(HEADER_BYTES + OPERATION_VALUE_LENGTH, 0xffff_ffff),
    status: Status.Malformed,
    says: /request frame/,
  },
  {
    what: 'an absurd count',
    bytes: () => patched(VECTOR_LENGTH_AT, 0xffff_ffff),
    status: Status.Malformed,
    says: /request frame/,
  },
  {
    what: 'no operation at all',
    bytes: () => frameOf([]),
    status: Status.Malformed,
    says: /request frame/,
  },
  {
    what: 'one operation too many',
    bytes: () => many(OPERATIONS_PER_FRAME_MAX + 1),
    status: Status.TooManyOperations,
    says: /8192/,
  },
  {
    what: 'duplicate ids',
    bytes: () =>
      frameOf([
        { code: Put, key: 'dup', value: Buffer.from('1'), id: 5 },
        { code: Put, key: 'dup', value: Buffer.from('2'), id: 5 },
      ]),
    status: Status.DuplicateId,
    says: /ids/,
  },
  {
    what: 'a frame one byte too large',
    bytes: () => new Uint8Array(FRAME_BYTES_MAX_DEFAULT + 1),
    status: Status.FrameTooLarge,
    says: /4194304 bytes/,
  },
];

interface Answered {
  readonly what: string;
  readonly operation: Parameters<typeof frameOf>[0][number];
  readonly status: Status;
}

const BAD_OPERATIONS: Answered[] = [
  { what: 'an empty key', operation: { code: Get, key: '' }, status: Status.InvalidKey },
  {
    what: 'a key that is too long',
    operation: { code: Get, key: 'k'.repeat(KEY_BYTES_MAX + 1) },
    status: Status.KeyTooLong,
  },
  {
    what: 'a key that is not UTF-8',
    operation: { code: Get, key: new Uint8Array([0xc3, 0x28]) },
    status: Status.InvalidKey,
  },
  {
    what: 'an unknown operation',
    operation: { code: 99, key: 'a' },
    status: Status.UnknownOperation,
  },
  { what: 'operation code 0', operation: { code: 0, key: 'a' }, status: Status.UnknownOperation },
  {
    what: 'a flag that the operation has not',
    operation: { code: Get, key: 'a', flags: 0x80 },
    status: Status.InvalidArgument,
  },
  {
    what: 'a value that is too large',
    operation: { code: Put, key: 'a', value: new Uint8Array(VALUE_BYTES_MAX_DEFAULT + 1) },
    status: Status.ValueTooLarge,
  },
];

for (const pairing of pairings()) {
  const { transport, engine, skip } = pairing;
  const name = `bad input over ${transport} with the ${engine} engine`;
  if (skip !== undefined) {
    describe(name, () => {
      it.skip(`not here: ${skip}`, () => undefined);
    });
    continue;
  }

  describe(name, () => {
    let fixture: Fixture;
    let witness: RawClient;
    let revision: number;

    beforeAll(async () => {
      fixture = await Fixture.start({ transport, engine });
      witness = await fixture.greet();
      revision = (await witness.put('witness', 'unharmed')).revision;
      fixture.takeWarnings();
    });

    afterAll(() => fixture.stop());

    /** The one line that the operator got, after what is reported in intervals is reported. */
    async function onlyWarning() {
      const warnings: LogEntry[] = [];
      await until(() => {
        fixture.clock.advance(1_000);
        warnings.push(...fixture.takeWarnings());
        return warnings.length > 0;
      }, 'a line in the log');
      await tick(2);
      warnings.push(...fixture.takeWarnings());
      expect(warnings).toHaveLength(1);
      return warnings[0];
    }

    async function expectUnharmed(): Promise<void> {
      expect(await witness.get('witness')).toMatchObject({ value: 'unharmed', revision });
      expect(fixture.records()).toBe(1);
      const fresh = await fixture.greet();
      expect((await fresh.get('witness')).status).toBe(Status.Ok);
      fresh.socket.close();
      fixture.clock.advance(1_000);
      expect(fixture.takeWarnings()).toEqual([]);
      expect(fixture.fatal).toEqual([]);
    }

    async function expectRefused(client: RawClient, { bytes, status, says }: Refused) {
      client.socket.send(bytes());
      const { code, reason } = await client.closed;
      expect(code).toBe(CLOSE_CODE_BASE + status);
      expect(reason).toMatch(says);
      expect(Buffer.byteLength(reason)).toBeLessThanOrEqual(CLOSE_REASON_BYTES_MAX);
      expect(await onlyWarning()).toMatchObject({
        event: 'connection_refused',
        status: statusName(status),
        remoteAddress: '127.0.0.1',
      });
      await expectUnharmed();
    }

    it.each(BEFORE_HELLO)('$what', async (refused) => {
      await expectRefused(await fixture.connect(), refused);
    });

    it.each(AFTER_HELLO)('$what', async (refused) => {
      await expectRefused(await fixture.greet(), refused);
    });

    it.each(BAD_OPERATIONS)('$what', async ({ operation, status }) => {
      const client = await fixture.greet();
      const results = await client.request(frameOf([operation, { code: Get, key: 'witness' }]));
      expect(results.map((result) => result.status)).toEqual([status, Status.Ok]);
      expect(await onlyWarning()).toMatchObject({
        event: 'operations_refused',
        status: statusName(status),
        operations: 1,
      });
      await expectUnharmed();
    });

    it('a frame far too large', async () => {
      const client = await fixture.greet();
      client.socket.on('error', () => undefined);
      client.socket.send(new Uint8Array(FRAME_BYTES_MAX_DEFAULT + PAYLOAD_SLACK_BYTES + 1));
      expect([1006, 1009]).toContain((await client.closed).code);
      expect(await onlyWarning()).toMatchObject({ event: 'connection_cut', closeCode: 1009 });
      await expectUnharmed();
    });

    it('frames after the one that was refused', async () => {
      const client = await fixture.greet();
      client.socket.send('text');
      client.socket.send(frameOf([{ code: Put, key: 'late', value: Buffer.from('x') }]));
      expect((await client.closed).code).toBe(CLOSE_CODE_BASE + Status.TextNotSupported);
      expect(await onlyWarning()).toMatchObject({ status: 'TEXT_NOT_SUPPORTED' });
      await expectUnharmed();
    });

    it('a client that never says hello', async () => {
      const client = await fixture.connect();
      fixture.clock.advance(HELLO_DEADLINE_MS_DEFAULT - 1);
      await tick(5);
      expect(client.socket.readyState).toBe(client.socket.OPEN);
      fixture.clock.advance(1);
      const { code, reason } = await client.closed;
      expect(code).toBe(CLOSE_CODE_BASE + Status.HelloTimeout);
      expect(reason).toMatch(/5000 ms/);
      expect(await onlyWarning()).toMatchObject({ status: 'HELLO_TIMEOUT' });
      await expectUnharmed();
    });

    it.each([
      { method: 'GET', path: '/', status: 426, code: 'UPGRADE_REQUIRED' },
      { method: 'GET', path: '/nothing', status: 404, code: 'NOT_FOUND' },
      { method: 'POST', path: '/', status: 405, code: 'METHOD_NOT_ALLOWED' },
      { method: 'PUT', path: '/metrics', status: 405, code: 'METHOD_NOT_ALLOWED' },
    ])('an HTTP $method of $path', async ({ method, path, status, code }) => {
      const response = await fetch(`${fixture.http}${path}`, { method });
      expect(response.status).toBe(status);
      expect(await response.json()).toMatchObject({
        error: { code },
        available: expect.arrayContaining(['GET /healthz']) as string[],
      });
      expect(await onlyWarning()).toMatchObject({ event: 'http_refused', httpStatus: status });
      await expectUnharmed();
    });

    it('a WebSocket on another path', async () => {
      await expect(fixture.connect({}, '/elsewhere')).rejects.toThrow('404');
      expect(await onlyWarning()).toMatchObject({ event: 'upgrade_refused', httpStatus: 404 });
      await expectUnharmed();
    });

    it('bytes that are not even HTTP', async () => {
      const socket = connect({ host: '127.0.0.1', port: fixture.server.port });
      socket.on('error', () => undefined);
      socket.write(Buffer.from(Array.from({ length: 512 }, (_, index) => (index * 7) & 255)));
      await tick(20);
      socket.destroy();
      await expectUnharmed();
    });

    it('connections that vanish in the middle of a frame', async () => {
      const { connections } = fixture.server.worker;
      await tick(20);
      const before = connections.size;
      for (let round = 0; round < 20; round++) {
        const client = await fixture.greet();
        const raw = client.socket as unknown as { _socket: { write(bytes: Uint8Array): void } };
        raw._socket.write(Buffer.from([0x82, 0xfe, 0x10, 0x00, 1, 2, 3, 4, 5]));
        client.socket.terminate();
      }
      await until(() => connections.size === before, 'the connections to end');
      await expectUnharmed();
    });
  });
}
