// The processes that the benchmark starts: each is known by its id from start to end, so that none
// outlives the run, and one that ends by itself is an error with its last words.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';

/** Milliseconds that a process has to end by itself before it is killed. */
const STOP_DEADLINE_MS = 8_000;
/** Bytes kept of what a process writes to standard error. */
const COMPLAINTS_BYTES_MAX = 4_000;

/** What to keep a process on: a core, or a list as `taskset` takes it; undefined: the system's choice. */
export type Cores = number | string;

export interface SpawnOptions {
  readonly core?: Cores | undefined;
  readonly ipc?: boolean;
  readonly cwd?: string;
  /** Its end before `stop` is an error. */
  readonly isServer?: boolean;
}

export class Process {
  /** What it wrote to standard output, where `collect` was called. */
  output = '';
  complaints = '';
  isStopping = false;
  readonly ended: Promise<void>;

  constructor(
    readonly name: string,
    readonly child: ChildProcess,
    readonly isServer: boolean,
  ) {
    this.ended = new Promise((resolve) => {
      child.once('close', () => resolve());
      child.once('error', (error) => {
        this.complaints += error.message;
        if (child.pid === undefined) resolve();
      });
    });
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.complaints = (this.complaints + text).slice(-COMPLAINTS_BYTES_MAX);
    });
  }

  get pid(): number {
    const { pid } = this.child;
    if (pid === undefined) throw new Error(`${this.name} could not be started: ${this.complaints}`);
    return pid;
  }

  get hasEnded(): boolean {
    const { pid, exitCode, signalCode } = this.child;
    return pid === undefined || exitCode !== null || signalCode !== null;
  }

  /** Why it is not there any more, with what it said last. */
  get obituary(): string {
    const { exitCode, signalCode } = this.child;
    const how = signalCode ?? `exit code ${exitCode ?? 'none'}`;
    const words = (this.complaints.trim() || this.output.trim()).split('\n').slice(-6).join('\n');
    return `${this.name} ended (${how})${words === '' ? '' : `:\n${words}`}`;
  }

  /** Gathers standard output, which must be read by someone or the process may stall. */
  collect(): void {
    this.child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.output += text;
    });
  }

  /** Asks it to end, kills it after a deadline, and makes sure that its id is gone. */
  async stop(): Promise<void> {
    this.isStopping = true;
    const { child } = this;
    if (!this.hasEnded) {
      const ended = once(child, 'exit');
      child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), STOP_DEADLINE_MS);
      await ended;
      clearTimeout(timer);
    }
    if (child.pid !== undefined && isAlive(child.pid)) {
      throw new Error(`${this.name} (process ${child.pid}) could not be ended`);
    }
  }
}

/** All processes of a run. */
export class Processes {
  private readonly running = new Set<Process>();
  /** No process is started any more. */
  private isClosed = false;

  constructor() {
    // The last resort, where an error got past everything else.
    process.on('exit', () => {
      for (const { child } of this.running) child.kill('SIGKILL');
    });
  }

  start(name: string, command: string, args: readonly string[], options: SpawnOptions): Process {
    if (this.isClosed) throw new Error('the benchmark is stopping');
    const { core, ipc = false, cwd, isServer = false } = options;
    // taskset replaces itself with the command, so the process id is the command's.
    const line =
      core === undefined ? [command, ...args] : ['taskset', '-c', `${core}`, command, ...args];
    const child = spawn(line[0] as string, line.slice(1), {
      stdio: ipc ? ['ignore', 'pipe', 'pipe', 'ipc'] : ['ignore', 'pipe', 'pipe'],
      env: plainEnvironment(),
      ...(cwd === undefined ? {} : { cwd }),
    });
    const process_ = new Process(name, child, isServer);
    this.running.add(process_);
    void process_.ended.then(() => {
      if (!isServer || process_.isStopping) this.running.delete(process_);
    });
    return process_;
  }

  /** Ends one and forgets it. */
  async stop(process_: Process): Promise<void> {
    await process_.stop();
    this.running.delete(process_);
  }

  /** Servers that have ended though nobody asked them to. */
  deaths(): string[] {
    return [...this.running]
      .filter((it) => it.isServer && it.hasEnded && !it.isStopping)
      .map((it) => it.obituary);
  }

  /** Ends all, those that serve last, and starts none any more. */
  async close(): Promise<void> {
    this.isClosed = true;
    const all = [...this.running];
    const failures: unknown[] = [];
    for (const group of [all.filter((it) => !it.isServer), all.filter((it) => it.isServer)]) {
      const results = await Promise.allSettled(group.map((it) => this.stop(it)));
      for (const result of results) if (result.status === 'rejected') failures.push(result.reason);
    }
    if (failures.length > 0) throw new AggregateError(failures, failures.map(String).join('; '));
  }
}

/** Without settings of the node that whoever starts the benchmark may have set for another one. */
function plainEnvironment(): NodeJS.ProcessEnv {
  const entries = Object.entries(process.env);
  return Object.fromEntries(entries.filter(([name]) => !name.startsWith('RONDO_')));
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
