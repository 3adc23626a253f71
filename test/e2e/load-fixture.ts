// The load generator as a process, and servers that do to it what a test wants done.

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { TestContext } from 'vitest';
import { OperationCode } from '../../ts/wire/generated/rondo/wire/operation-code.js';
import { ReplyWriter } from '../../ts/wire/reply.js';
import type { Peer, Script, SentOperation } from '../unit/client-scripted-node.js';

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const REQUIRED = process.env.RONDO_REQUIRE_NATIVE === '1';

/** Milliseconds; a machine that builds it for the first time needs them. */
export const BUILD_TIMEOUT_MS = 600_000;

/** Where the generator is, or why it can't be. Throws where it can and does not build. */
export function buildGenerator(): { path: string } | { absent: string } {
  const version = spawnSync('cargo', ['--version']);
  if (version.error !== undefined || version.status !== 0) {
    if (REQUIRED) throw new Error('RONDO_REQUIRE_NATIVE=1, and cargo is not installed');
    return { absent: 'cargo (Rust) is not installed' };
  }
  const args = ['build', '--release', '--locked', '--quiet', '--package', 'rondo-load'];
  const build = spawnSync('cargo', [...args, '--message-format=json-render-diagnostics'], {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
  });
  if (build.status !== 0) throw new Error(`the load generator does not build:\n${build.stderr}`);
  for (const line of build.stdout.split('\n').filter((text) => text !== '')) {
    const message = JSON.parse(line) as { target?: { name: string }; executable?: string | null };
    if (message.target?.name === 'rondo-load' && message.executable) {
      return { path: message.executable };
    }
  }
  throw new Error('cargo built the load generator and does not say where it is');
}

export interface Report {
  readonly schema: number;
  readonly target: string;
  readonly config: Readonly<Record<string, unknown>>;
  readonly operations: number;
  readonly seconds: number;
  readonly operationsPerSecond: number;
  readonly reads: number;
  readonly writes: number;
  readonly misses: number;
  readonly unsent: number;
  readonly latencyMicros: Readonly<Record<'p50' | 'p90' | 'p99' | 'p999' | 'max' | 'mean', number>>;
  readonly bytesSent: number;
  readonly bytesReceived: number;
  readonly clientCpuSeconds: number;
  readonly prefillSeconds: number;
  readonly readBack: number;
  readonly server: Readonly<Record<string, unknown>>;
}

/** One run of the generator. */
export class Run {
  stdout = '';
  stderr = '';
  readonly child: ChildProcess;
  readonly ended: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;

  constructor(path: string, args: readonly string[]) {
    this.child = spawn(path, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    this.child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.stdout += text;
    });
    this.child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text;
    });
    this.ended = new Promise((resolve, reject) => {
      this.child.once('error', reject);
      this.child.once('close', (code, signal) => resolve({ code, signal }));
    });
  }
}

/** Starts runs for one test file and ends what a failed test leaves behind. */
export class Generator {
  private readonly runs: Run[] = [];
  private readonly built = buildGenerator();

  /** Skips a test where the generator can't be built. */
  skipIfAbsent(context: TestContext): void {
    if ('absent' in this.built) context.skip(this.built.absent);
  }

  start(args: string): Run {
    if ('absent' in this.built) throw new Error(this.built.absent);
    const run = new Run(this.built.path, args.split(/\s+/));
    this.runs.push(run);
    return run;
  }

  /** A run that must succeed. */
  async report(args: string): Promise<Report> {
    const run = this.start(`${args} --json --quiet`);
    const { code } = await run.ended;
    if (code !== 0) throw new Error(`exit code ${code}: ${run.stderr}`);
    const lines = run.stdout.split('\n');
    if (lines.length !== 2 || lines[1] !== '') throw new Error(`more than a line: ${run.stdout}`);
    return JSON.parse(run.stdout) as Report;
  }

  /** A run that must fail with exit code 1 and no figures; gives what it says. */
  async failure(args: string): Promise<string> {
    const run = this.start(`${args} --json --quiet`);
    const { code } = await run.ended;
    if (code !== 1) throw new Error(`exit code ${code}: ${run.stdout}${run.stderr}`);
    if (run.stdout !== '') throw new Error(`a broken run gave figures: ${run.stdout}`);
    return run.stderr;
  }

  async stop(): Promise<void> {
    for (const { child, ended } of this.runs.splice(0)) {
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
      await ended;
    }
  }
}

const replyBytes = new Uint8Array(4 * 1024 * 1024);

/** Writes one reply frame, without memory of its own: load is many frames. */
export function reply(peer: Peer, results: number, write: (writer: ReplyWriter) => void): void {
  const writer = new ReplyWriter(replyBytes);
  writer.begin(results);
  write(writer);
  peer.socket.send(replyBytes.slice(0, writer.finish()));
}

/** A node that does what it should: keeps what is put and gives it back. */
export class Store {
  readonly values = new Map<string, Uint8Array>();

  readonly answer: Script = (peer, operations) => this.reply(peer, operations);

  reply(peer: Peer, operations: readonly SentOperation[]): void {
    reply(peer, operations.length, (writer) => {
      for (const { id, code, key, value } of operations) {
        const found = this.values.get(key);
        if (code === OperationCode.Put) {
          this.values.set(key, value.slice());
          writer.result(id, 0, 1, 0);
        } else if (found === undefined) writer.result(id, 1, 0, 0);
        else writer.resultWithValue(id, found, 1, 0);
      }
    });
  }
}

export const isPut = ({ code }: SentOperation): boolean => code === OperationCode.Put;

/** A TCP server that hands each piece of input to `onData`. */
export class ScriptedSocketServer {
  private readonly sockets = new Set<Socket>();

  private constructor(private readonly server: Server) {}

  static async start(
    onData: (socket: Socket, data: Buffer) => void,
  ): Promise<ScriptedSocketServer> {
    const scripted = new ScriptedSocketServer(createServer());
    scripted.server.on('connection', (socket) => {
      scripted.sockets.add(socket);
      socket.on('data', (data) => onData(socket, data));
      // The generator goes when it has seen enough.
      socket.on('error', () => socket.destroy());
    });
    scripted.server.listen(0, '127.0.0.1');
    await once(scripted.server, 'listening');
    return scripted;
  }

  get address(): string {
    return `127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    this.server.close();
    await once(this.server, 'close');
  }
}

export const REDIS_INFO = 'redis_version:0.0.1\r\naof_enabled:0\r\nused_memory:1\r\n';

/** Answers INFO and OK to every SET; `get` answers the others. `commands` counts from 1. */
export function redisScript(
  get: (key: string, commands: number) => string,
): (socket: Socket, data: Buffer) => void {
  let commands = 0;
  return (socket, data) => {
    const words = data.toString('latin1').split('\r\n');
    let replies = '';
    for (let at = 0; at < words.length; at++) {
      if (words[at] === 'INFO') replies += `$${REDIS_INFO.length}\r\n${REDIS_INFO}\r\n`;
      else if (words[at] === 'SET') replies += '+OK\r\n';
      else if (words[at] === 'GET') replies += get(words[at + 2] ?? '', ++commands);
    }
    socket.write(replies, 'latin1');
  };
}
