// The load generator's calls of etcd, against an HTTP/2 server that answers as a test wants it: only a
// put that was acknowledged counts, and a wrong answer ends the run without figures.

import { once } from 'node:events';
import { createServer, type Http2Server, type ServerHttp2Stream } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { BUILD_TIMEOUT_MS, Generator, ScriptedSocketServer } from './load-fixture.js';

interface Answer {
  readonly message?: Buffer;
  readonly status?: string;
  readonly text?: string;
  /** HTTP status. */
  readonly http?: number;
  /** Nothing but headers, which hold the status. */
  readonly isBare?: true;
}

type Script = (path: string, message: Buffer) => Answer | undefined;

/** Fields of bytes; numbers below 128 as varints. */
function fields(...pairs: readonly (readonly [number, Buffer | number])[]): Buffer {
  return Buffer.concat(
    pairs.map(([field, value]) =>
      typeof value === 'number'
        ? Buffer.from([field << 3, value])
        : Buffer.concat([Buffer.from([(field << 3) | 2, value.length]), value]),
    ),
  );
}

const header = fields([1, 1], [3, 7]);

/** Keys and values of a request, whose fields 1 and 2 have less than 128 bytes. */
function parse(message: Buffer): { key: string; value: Buffer } {
  const keyEnd = 2 + (message[1] as number);
  return {
    key: message.toString('latin1', 2, keyEnd),
    value: message.subarray(keyEnd + 2),
  };
}

class FalseEtcd {
  readonly values = new Map<string, Buffer>();
  puts = 0;
  script: Script = () => undefined;
  private readonly server: Http2Server = createServer();

  async start(): Promise<void> {
    this.server.on('stream', (stream, headers) => {
      const chunks: Buffer[] = [];
      stream.on('data', (chunk: Buffer) => chunks.push(chunk));
      stream.on('error', () => stream.destroy());
      stream.on('end', () => {
        const message = Buffer.concat(chunks).subarray(5);
        const path = String(headers[':path']);
        this.reply(stream, this.script(path, message) ?? this.usual(path, message));
      });
    });
    this.server.listen(0, '127.0.0.1');
    await once(this.server, 'listening');
  }

  get address(): string {
    return `127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  stop(): void {
    this.server.close();
  }

  usual(path: string, message: Buffer): Answer {
    if (path.endsWith('/Status')) {
      return { message: fields([1, header], [2, Buffer.from('3.0.0')], [3, 99]) };
    }
    const { key, value } = parse(message);
    if (path.endsWith('/Put')) {
      this.puts++;
      this.values.set(key, Buffer.from(value));
      return { message: fields([1, header]) };
    }
    const found = this.values.get(key);
    if (found === undefined) return { message: fields([1, header]) };
    const pair = fields([1, Buffer.from(key)], [4, 1], [5, found]);
    return { message: fields([1, header], [2, pair], [4, 1]) };
  }

  private reply(stream: ServerHttp2Stream, answer: Answer): void {
    const { message = Buffer.alloc(0), status = '0', text = '', http = 200 } = answer;
    const type = { ':status': http, 'content-type': 'application/grpc' };
    const trailers = { 'grpc-status': status, 'grpc-message': text };
    if (answer.isBare) {
      stream.respond({ ...type, ...trailers }, { endStream: true });
      return;
    }
    stream.respond(type, { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers(status === '' ? {} : trailers));
    const frame = Buffer.alloc(5);
    frame.writeUInt32BE(message.length, 1);
    stream.end(Buffer.concat([frame, message]));
  }
}

let generator: Generator;
let etcd: FalseEtcd;

beforeAll(() => {
  generator = new Generator();
}, BUILD_TIMEOUT_MS);
beforeEach(async (context) => {
  generator.skipIfAbsent(context);
  etcd = new FalseEtcd();
  await etcd.start();
});
afterEach(async () => {
  await generator?.stop();
  etcd?.stop();
});
afterAll(() => generator?.stop());

function options(more = ''): string {
  const load = '--connections 2 --keys 50 --value-bytes 20 --duration 300ms --warm-up 50ms';
  return `--target etcd --address ${etcd.address} ${load} --prefill --outstanding 8 ${more}`;
}

/** Answers calls of one kind, once all keys are there. */
function onceFilled(kind: string, answer: Answer): Script {
  return (path) => (path.endsWith(kind) && etcd.puts >= 50 ? answer : undefined);
}

describe('calls of etcd', () => {
  it('put and get what they should, and count what was acknowledged', async () => {
    const report = await generator.report(options('--read-ratio 0'));
    expect(report).toMatchObject({
      target: 'etcd',
      reads: 0,
      server: { name: 'etcd', version: '3.0.0', databaseBytes: 99 },
    });
    expect(report.writes).toBeGreaterThan(10);
    expect(report.readBack).toBeGreaterThan(10);
    expect(etcd.puts).toBeGreaterThanOrEqual(report.writes + 50);
    const mixed = await generator.report(options('--read-ratio 0.5'));
    expect(Math.min(mixed.reads, mixed.writes)).toBeGreaterThan(5);
  });

  it('keep their number on the way', async () => {
    let most = 0;
    let now = 0;
    etcd.script = (path) => {
      if (path.endsWith('/Range')) now++;
      most = Math.max(most, now);
      setImmediate(() => {
        now = 0;
      });
      return undefined;
    };
    await generator.report(options('--outstanding 32'));
    expect(most).toBeGreaterThan(4);
    expect(most).toBeLessThanOrEqual(64);
  });

  it.each<[string, Answer, RegExp]>([
    [
      'an error behind a body',
      { status: '8', text: 'too many requests' },
      /put user:\d{12} with an error: too many requests \(grpc-status 8\)/,
    ],
    [
      'an error in place of one',
      { status: '14', text: 'no leader', isBare: true },
      /no leader \(grpc-status 14\)/,
    ],
    ['no status', { status: '' }, /no grpc-status/],
    ['HTTP status 503', { http: 503 }, /HTTP status 503/],
    ['an answer without a revision', {}, /without a revision/],
    ['a broken message', { message: Buffer.from([0xff]) }, /a message is broken/],
  ])('that a put meets: %s', async (_, answer, says) => {
    etcd.script = onceFilled('/Put', answer);
    expect(await generator.failure(options('--read-ratio 0'))).toMatch(says);
  });

  it('that a get meets: another value, or none', async () => {
    const pair = fields([5, Buffer.from('another')]);
    etcd.script = onceFilled('/Range', { message: fields([1, header], [2, pair]) });
    expect(await generator.failure(options())).toMatch(/get user:\d{12}: another value/);
    etcd.puts = 0;
    etcd.script = onceFilled('/Range', { message: fields([1, header]) });
    expect(await generator.failure(options())).toMatch(/there is no such key/);
  });

  it('end with what the server says at the greeting', async () => {
    etcd.script = () => ({ status: '16', text: 'who are you', isBare: true });
    expect(await generator.failure(options())).toMatch(/Maintenance.Status.*who are you/);
  });

  it('to a server of another protocol fail with a reason', async () => {
    const other = await ScriptedSocketServer.start((socket) => socket.write('-ERR what?\r\n'));
    try {
      const text = await generator.failure(options(`--address ${other.address}`));
      expect(text).toMatch(/broke the protocol: HTTP\/2/);
    } finally {
      await other.stop();
    }
  });
});
