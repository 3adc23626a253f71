// A node in this process for the end-to-end tests: real sockets on loopback, time that the test
// moves, and every log line kept. And a raw client that says exactly what a test wants said.

import type { TestContext } from 'vitest';
import WebSocket from 'ws';
import { SimulatedClock } from '../../node/clock.js';
import { defaultSettings } from '../../node/config/config.js';
import type { Settings } from '../../node/config/settings.js';
import { createLoggerTo } from '../../node/logger.js';
import { type Server, type ServerOptions, startServer } from '../../node/server.js';
import { loadUws } from '../../node/transport/uws-binary.js';
import { chooseEngine } from '../../ts/engine/load.js';
import { OperationCode } from '../../ts/wire/generated/rondo/wire/operation-code.js';
import {
  decodeWelcome,
  encodeHello,
  type HelloFrame,
  type WelcomeFrame,
} from '../../ts/wire/hello.js';
import { VECTOR_LENGTH_AT } from '../../ts/wire/layout.js';
import { ReplyReader } from '../../ts/wire/reply.js';
import { RequestWriter } from '../../ts/wire/request.js';
import { helloOf } from '../drive/hello.js';

export interface LogEntry {
  readonly level: string;
  readonly event: string;
  readonly msg: string;
  readonly [field: string]: unknown;
}

export class Fixture {
  readonly entries: LogEntry[] = [];
  readonly clock = new SimulatedClock();
  readonly fatal: unknown[] = [];
  server!: Server;
  private readonly clients: RawClient[] = [];
  /** Turns of the event loop happen by themselves; only time waits for the test. */
  private readonly turns = setInterval(() => this.clock.advance(0), 1);

  /** `settings` over the defaults, with port 0 and state in memory. */
  static async start(
    settings: Partial<Settings>,
    more: Partial<Pick<ServerOptions, 'engine' | 'transport' | 'openState' | 'watches'>> = {},
  ): Promise<Fixture> {
    const fixture = new Fixture();
    const stream = { write: (line: string) => fixture.entries.push(JSON.parse(line) as LogEntry) };
    fixture.server = await startServer({
      settings: defaultSettings({ port: 0, durability: 'none', workers: 1, ...settings }),
      logger: createLoggerTo(stream, 'info'),
      clock: fixture.clock,
      onFatal: (error) => fixture.fatal.push(error),
      ...more,
    });
    return fixture;
  }

  get http(): string {
    return this.server.url.replace(/^ws/, 'http');
  }

  /** Lines about something wrong, since the last call. */
  takeWarnings(): LogEntry[] {
    return this.entries.splice(0).filter(({ level }) => level === 'warn' || level === 'error');
  }

  /** Connects without a hello. */
  async connect(options: WebSocket.ClientOptions = {}, path = '/'): Promise<RawClient> {
    const client = new RawClient(`${this.server.url}${path}`, options);
    this.clients.push(client);
    await client.opened;
    return client;
  }

  /** Connects and greets. */
  async greet(options: WebSocket.ClientOptions = {}): Promise<RawClient> {
    const client = await this.connect(options);
    await client.hello();
    return client;
  }

  /** The sum of all revisions: how many effects there have been. */
  records(): number {
    const { engine, options } = this.server.worker;
    let records = 0;
    for (let partition = 0; partition < options.settings.partitions; partition++) {
      records += engine.revisionOf(partition);
    }
    return records;
  }

  async stop(): Promise<void> {
    for (const client of this.clients) client.socket.terminate();
    try {
      await this.pump(this.server.stop());
    } finally {
      clearInterval(this.turns);
    }
  }

  /** Moves time on in small steps until `promise` is settled. */
  async pump<V>(promise: Promise<V>): Promise<V> {
    let isSettled = false;
    const settle = () => {
      isSettled = true;
    };
    promise.then(settle, settle);
    while (!isSettled) {
      this.clock.advance(1);
      await tick();
    }
    return promise;
  }
}

export interface Result {
  readonly id: number;
  readonly status: number;
  readonly value: string;
  readonly revision: number;
  readonly count: number;
  readonly ttlMs: number;
}

export class RawClient {
  readonly socket: WebSocket;
  readonly opened: Promise<void>;
  readonly closed: Promise<{ code: number; reason: string }>;
  private readonly received: ArrayBuffer[] = [];
  private wake: (() => void) | undefined;
  private lastId = 0;

  constructor(url: string, options: WebSocket.ClientOptions) {
    this.socket = new WebSocket(url, { perMessageDeflate: false, ...options });
    this.socket.binaryType = 'arraybuffer';
    this.opened = new Promise((resolve, reject) => {
      this.socket.once('open', resolve);
      this.socket.once('error', reject);
    });
    this.closed = new Promise((resolve) => {
      this.socket.once('close', (code, reason) => resolve({ code, reason: reason.toString() }));
    });
    this.socket.on('message', (data) => {
      this.received.push(data as ArrayBuffer);
      this.wake?.();
    });
  }

  /** Says hello and waits for the welcome. */
  async hello(token = ''): Promise<ArrayBuffer> {
    this.socket.send(encodeHello(helloOf({ token })));
    return this.next();
  }

  /** Says a hello that asks for a session or resumes one, and waits for the welcome. */
  async helloWith(fields: Partial<HelloFrame>): Promise<WelcomeFrame> {
    this.socket.send(encodeHello(helloOf(fields)));
    const welcome = decodeWelcome(await this.next());
    if (welcome === undefined) throw new Error('not a welcome');
    return welcome;
  }

  /** The next message; rejects when the connection ends before it. */
  async next(): Promise<ArrayBuffer> {
    while (this.received.length === 0) {
      const woken = new Promise<boolean>((resolve) => {
        this.wake = () => resolve(true);
      });
      if (!(await Promise.race([woken, this.closed.then(() => false)]))) {
        if (this.received.length > 0) break;
        const { code, reason } = await this.closed;
        throw new Error(`closed with ${code} ${reason}`);
      }
    }
    return this.received.shift() as ArrayBuffer;
  }

  async results(): Promise<Result[]> {
    const reader = new ReplyReader();
    if (!reader.open(await this.next())) throw new Error('not a reply');
    const results: Result[] = [];
    while (reader.next()) {
      const { id, status, revision, count, ttlMs } = reader;
      const value = new TextDecoder().decode(reader.value);
      results.push({ id, status, revision, count, ttlMs, value });
    }
    return results;
  }

  /** Sends a frame of `frameOf` (no scans) and collects the result of each operation. */
  async request(frame: Uint8Array): Promise<Result[]> {
    this.socket.send(frame);
    const count = new DataView(frame.buffer, frame.byteOffset).getUint32(VECTOR_LENGTH_AT, true);
    const results: Result[] = [];
    while (results.length < count) results.push(...(await this.results()));
    return results;
  }

  async put(key: string, value: string | Uint8Array): Promise<Result> {
    const frame = frameOf([
      { code: OperationCode.Put, key, value: Buffer.from(value), id: ++this.lastId },
    ]);
    return (await this.request(frame))[0] as Result;
  }

  async get(key: string): Promise<Result> {
    const frame = frameOf([{ code: OperationCode.Get, key, id: ++this.lastId }]);
    return (await this.request(frame))[0] as Result;
  }
}

export interface OperationInput {
  readonly code: number;
  readonly key: string | Uint8Array;
  readonly id?: number;
  readonly flags?: number;
  readonly value?: Uint8Array;
  readonly ttlMs?: number;
  readonly limit?: number;
  readonly expectedRevision?: number;
}

/** A request frame of its own memory. Ids count from 1 where none are given. */
export function frameOf(operations: readonly OperationInput[]): Uint8Array<ArrayBuffer> {
  const writer = new RequestWriter();
  writer.begin(operations.length);
  for (const [index, operation] of operations.entries()) {
    const { code, key, id, flags, value, limit, ttlMs, expectedRevision } = operation;
    writer.operation(
      id ?? index + 1,
      code,
      flags ?? 0,
      key,
      value,
      limit ?? 0,
      ttlMs ?? 0,
      expectedRevision ?? 0,
    );
  }
  return writer.finish().slice();
}

export function tick(ms = 0): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Waits in real time. */
export async function until(condition: () => boolean, what: string): Promise<void> {
  const deadline = performance.now() + 10_000;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`waited 10 s in vain for ${what}`);
    await tick(2);
  }
}

export interface Pairing {
  readonly transport: 'uws' | 'ws';
  readonly engine: 'ts' | 'native';
  /** Why it can't run here. */
  readonly skip: string | undefined;
}

/** Both transports with both engines. */
export function pairings(): Pairing[] {
  const uws = loadUws();
  const noUws = 'absent' in uws ? uws.absent : undefined;
  const noNative = nativeAbsence();
  return (['uws', 'ws'] as const).flatMap((transport) =>
    (['ts', 'native'] as const).map((engine) => ({
      transport,
      engine,
      skip:
        (transport === 'uws' ? noUws : undefined) ?? (engine === 'native' ? noNative : undefined),
    })),
  );
}

export function skipUnless(context: TestContext, pairing: Pairing): void {
  if (pairing.skip !== undefined) context.skip(pairing.skip);
}

function nativeAbsence(): string | undefined {
  const choice = chooseEngine('auto');
  return choice.kind === 'native' ? undefined : choice.reason;
}
