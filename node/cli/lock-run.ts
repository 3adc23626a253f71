// `rondo lock`: runs a command while it holds a lock. The command ends before the lock is given back, and when
// the lock is lost the command is ended: what it guards may then be another's.

import { type ChildProcess, spawn } from 'node:child_process';
import { constants } from 'node:os';
import { isatty } from 'node:tty';
import { RondoError } from '../../ts/client/index.js';
import { keyError } from '../../ts/client/key.js';
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
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'] as const;
/** What a terminal sends to the command as well, where the two have one. */
const SIGNALS_OF_TERMINAL: readonly NodeJS.Signals[] = ['SIGINT', 'SIGQUIT'];

export async function runLocked(
  name: string,
  command: readonly string[],
  options: LockFlags,
): Promise<void> {
  const stop = new AbortController();
  let stoppedBy: NodeJS.Signals | undefined;
  let running: Running | undefined;
  for (const signal of SIGNALS) {
    process.on(signal, () => {
      stoppedBy ??= signal;
      if (running === undefined) stop.abort();
      else if (running.isGroup || !SIGNALS_OF_TERMINAL.includes(signal)) running.send(signal);
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
      running = started;
      let killTimer: ReturnType<typeof setTimeout> | undefined;
      const onLoss = (): void => {
        started.send('SIGTERM');
        killTimer = setTimeout(() => started.send('SIGKILL'), KILL_DELAY_MS);
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
        // What it has started may have stayed behind.
        if (started.isGroup) started.send('SIGKILL');
        exitCode = undefined;
        throw lockLost(name, lock.signal.reason);
      }
      await lock.release();
    },
    {
      connect: { retry: {}, session: { ttlMs: options.ttl } },
      signal: stop.signal,
      prepare: () => {
        const error = keyError(name, false);
        if (error !== undefined) throw error;
      },
    },
  );
  // What went wrong with the lock has set an exit code already, and counts for more than the command's.
  if (exitCode !== undefined && process.exitCode === undefined) process.exitCode = exitCode;
  if (stoppedBy !== undefined && running === undefined) {
    process.exitCode = EXIT_SIGNAL_BASE + constants.signals[stoppedBy];
  }
}

interface Running {
  /** It has a process group of its own, which is sent signals as a whole: also what the command has started. */
  readonly isGroup: boolean;
  readonly exited: Promise<number>;
  readonly send: (signal: NodeJS.Signals) => void;
}

function start(
  [file = '', ...arguments_]: readonly string[],
  name: string,
  token: number,
): Running {
  // With a group of its own it would have no part in a terminal: no passwords, no Ctrl-Z.
  const isGroup = process.platform !== 'win32' && ![0, 1, 2].some((fd) => isatty(fd));
  const child = spawn(file, arguments_, {
    stdio: 'inherit',
    detached: isGroup,
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
  return { isGroup, exited, send: (signal) => send(child, isGroup, signal) };
}

function send(child: ChildProcess, isGroup: boolean, signal: NodeJS.Signals): void {
  if (!isGroup || child.pid === undefined) {
    child.kill(signal);
    return;
  }
  try {
    process.kill(-child.pid, signal);
  } catch {
    // Nobody of it is left.
  }
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
