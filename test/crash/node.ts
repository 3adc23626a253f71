// A node in a process of its own, on a data directory, made to be killed.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const DIST = fileURLToPath(new URL('../../dist/', import.meta.url));
const MAIN = `${DIST}node/main.js`;
/** A durable node of a few lines, which takes the same arguments. */
export const STAND_IN = `${DIST}test/crash/stand-in.js`;
/** The node, that has a worker die when it is told so by a message, however often. */
export const KILLABLE = `${DIST}test/crash/killable-node.js`;
/** Milliseconds from the start of a process to its ready line, on a busy machine. */
const READY_MS_MAX = 60_000;
/** Small, so that a run fills many segments and compacts them. */
const SEGMENT_BYTES = '256KiB';

export interface NodeOptions {
  /** `STAND_IN`, or undefined: the node. */
  readonly program?: string | undefined;
  readonly engine: 'native' | 'ts';
  /** Undefined: the node keeps its state in memory alone. */
  readonly directory?: string | undefined;
  /** Otherwise a free one. */
  readonly port?: number;
  /** Otherwise one. */
  readonly workers?: number | undefined;
  readonly environment?: Readonly<Record<string, string>>;
}

export class NodeProcess {
  private readonly child: ChildProcess;
  private readonly ended: Promise<unknown>;
  private stdout = '';
  private stderr = '';
  /** How many of its workers have died and serve again. */
  restarts = 0;

  constructor(options: NodeOptions) {
    const { program = MAIN, engine, directory, port = 0, workers = 1, environment = {} } = options;
    if (!existsSync(program)) throw new Error(`${program} is not built; run npx tsc first`);
    const durable = ['--log-segment-bytes', SEGMENT_BYTES];
    const log =
      directory === undefined ? ['--durability', 'none'] : ['--data-dir', directory, ...durable];
    const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('RONDO_'));
    const args = [program, 'serve', '--json', '--port', `${port}`, '--engine', engine, ...log];
    this.child = spawn(process.execPath, args, {
      env: { ...Object.fromEntries(inherited), RONDO_WORKERS: `${workers}`, ...environment },
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    });
    this.ended = once(this.child, 'close');
    this.child.stdout?.on('data', (chunk: Buffer) => {
      this.stdout += chunk.toString();
    });
    this.child.stderr?.on('data', (chunk: Buffer) => {
      const text = chunk.toString();
      this.stderr = (this.stderr + text).slice(-4_000);
      this.restarts += text.split('"worker_restarted"').length - 1;
    });
  }

  /** The address; throws with what the node said where it ends or says nothing in time. */
  async ready(): Promise<string> {
    let isOver = false;
    const timer = setTimeout(() => this.child.kill('SIGKILL'), READY_MS_MAX);
    const gone = this.ended.then(() => {
      isOver = true;
    });
    while (!this.stdout.includes('\n') && !isOver) {
      await Promise.race([gone, new Promise((resolve) => setTimeout(resolve, 2))]);
    }
    clearTimeout(timer);
    if (!this.stdout.includes('\n')) throw new Error(`the node did not start: ${this.stderr}`);
    return (JSON.parse(this.stdout.slice(0, this.stdout.indexOf('\n'))) as { url: string }).url;
  }

  /** Whether it ended by itself, and what it said then. */
  fate(): string | undefined {
    const { exitCode, signalCode } = this.child;
    if (exitCode === null && signalCode === null) return undefined;
    return `the node ended by itself (${signalCode ?? exitCode}): ${this.stderr}`;
  }

  /** Tells a program that hears it, such as `KILLABLE`, to break one of its workers. */
  killWorker(index: number): void {
    this.child.send({ worker: index });
  }

  /** SIGKILL, and the end of the process with all its threads. */
  async kill(): Promise<void> {
    this.child.kill('SIGKILL');
    await this.ended;
  }
}
