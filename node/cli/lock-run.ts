// `rondo lock`: runs a command while it holds a lock. The command ends before the lock is given back, and when
// the lock is lost the command is ended: what it guards may then be another's.

import { type ChildProcess, spawn } from 'node:child_process';
import { constants } from 'node:os';
import { RondoError } from '../../ts/client/index.js';
import { messageOf } from '../errors.js';
import { type DataOptions, withClient } from './data-client.js';

export interface LockFlags extends DataOptions {
  readonly shared?: true;
  /** Milliseconds; undefined: without end. */
  readonly wait?: number;
  /** Milliseconds. */
  readonly ttl: number;
}

/** Milliseconds that a command has to end when its lock was lost, before it is killed. */
const KILL_DELAY_MS = 5_000;
/** As shells have it: a command that is not there, or cannot be run. */
const EXIT_NOT_FOUND = 127;
const EXIT_NOT_RUNNABLE = 126;
const EXIT_SIGNAL_BASE = 128;
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

export async function runLocked(
  name: string,
  command: readonly string[],
  options: LockFlags,
): Promise<void> {
  const stop = new AbortController();
  let stoppedBy: NodeJS.Signals | undefined;
  let child: ChildProcess | undefined;
  for (const signal of SIGNALS) {
    process.on(signal, () => {
      stoppedBy ??= signal;
      if (child === undefined) stop.abort();
      // A terminal sends its interrupt to the command by itself.
      else if (signal !== 'SIGINT' || !process.stdin.isTTY) child.kill(signal);
    });
  }
  let exitCode: number | undefined;
  await withClient(
    options,
    async (rondo) => {
      const { shared, wait } = options;
      const lock = await rondo.lock(name, {
        mode: shared === true ? 'shared' : 'exclusive',
        waitMs: wait,
        signal: stop.signal,
      });
      const started = start(command, name, lock.token);
      child = started.child;
      let killTimer: ReturnType<typeof setTimeout> | undefined;
      const onLoss = (): void => {
        child?.kill('SIGTERM');
        killTimer = setTimeout(() => child?.kill('SIGKILL'), KILL_DELAY_MS);
      };
      lock.signal.addEventListener('abort', onLoss);
      if (lock.signal.aborted) onLoss();
      try {
        exitCode = await started.exited;
      } finally {
        clearTimeout(killTimer);
        lock.signal.removeEventListener('abort', onLoss);
      }
      if (lock.signal.aborted) {
        exitCode = undefined;
        throw lockLost(name, lock.signal.reason);
      }
      await lock.release();
    },
    { connect: { retry: {}, session: { ttlMs: options.ttl } } },
  );
  // What went wrong with the lock has set an exit code already, and counts for more than the command's.
  if (exitCode !== undefined && process.exitCode === undefined) process.exitCode = exitCode;
  if (stoppedBy !== undefined && child === undefined) {
    process.exitCode = EXIT_SIGNAL_BASE + constants.signals[stoppedBy];
  }
}

function start(
  [file = '', ...arguments_]: readonly string[],
  name: string,
  token: number,
): { child: ChildProcess; exited: Promise<number> } {
  const child = spawn(file, arguments_, {
    stdio: 'inherit',
    env: { ...process.env, RONDO_LOCK_NAME: name, RONDO_LOCK_TOKEN: String(token) },
  });
  const exited = new Promise<number>((resolve) => {
    child.once('error', (error: NodeJS.ErrnoException) => {
      process.stderr.write(`rondo: ${file} cannot be run: ${messageOf(error)}\n`);
      resolve(error.code === 'ENOENT' ? EXIT_NOT_FOUND : EXIT_NOT_RUNNABLE);
    });
    child.once('exit', (code, signal) =>
      resolve(code ?? EXIT_SIGNAL_BASE + constants.signals[signal ?? 'SIGKILL']),
    );
  });
  return { child, exited };
}

function lockLost(name: string, reason: unknown): RondoError {
  const why = reason instanceof Error ? `: ${reason.message}` : '';
  const code = reason instanceof RondoError ? reason.code : 'NOT_HOLDER';
  return new RondoError(
    code,
    `the lock ${JSON.stringify(name)} was lost, and the command was ended${why}`,
    { cause: reason },
  );
}
