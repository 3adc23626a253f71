// A node of its own for the demo: `rondo serve` in a child process, on a free port, with a data directory
// that is gone afterwards. What it acknowledges is on the disk, as it is for a user.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

export interface NodeProcess {
  readonly url: string;
  readonly engine: string;
  readonly transport: string;
  /** Stops it; settled when the process has ended and its data is gone. */
  stop(): Promise<void>;
}

const MAIN = fileURLToPath(new URL('../../node/main.js', import.meta.url));
/** Milliseconds from the start of the process to its ready line. */
const READY_DEADLINE_MS = 15_000;
/** Milliseconds that a process has to end by itself before it is killed. */
const STOP_DEADLINE_MS = 8_000;

/** Starts a node and waits until it is ready. What it writes to standard error ends up in errors. */
export async function startNode(engine: string): Promise<NodeProcess> {
  const folder = await mkdtemp(join(tmpdir(), 'rondo-demo-'));
  const arguments_ = [MAIN, 'serve', '--json', '--port', '0', '--engine', engine];
  arguments_.push('--durability', 'sync', '--data-dir', join(folder, 'data'));
  const child = spawn(process.execPath, arguments_, { stdio: ['ignore', 'pipe', 'pipe'] });
  const stop = async (): Promise<void> => {
    await stopProcess(child);
    await rm(folder, { recursive: true, force: true });
  };
  let complaints = '';
  child.stderr.on('data', (chunk: Buffer) => {
    complaints = (complaints + chunk.toString()).slice(-4000);
  });
  try {
    const ready = await readyLine(child, () => complaints);
    return { ...ready, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Ends a process by its id: asks first, and kills it after a deadline. */
export async function stopProcess(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), STOP_DEADLINE_MS);
  await ended;
  clearTimeout(timer);
}

async function readyLine(
  child: ChildProcess,
  complaints: () => string,
): Promise<{ url: string; engine: string; transport: string }> {
  if (child.stdout === null) throw new Error('the node was started without standard output');
  const lines = createInterface({ input: child.stdout });
  const timer = setTimeout(() => child.kill('SIGKILL'), READY_DEADLINE_MS);
  const ended = new Promise<never>((_, reject) => {
    child.once('error', reject);
    child.once('exit', (code, signal) =>
      reject(new Error(`the node ended (${signal ?? code}) before it was ready\n${complaints()}`)),
    );
  });
  try {
    const line = await Promise.race([once(lines, 'line'), ended]);
    const ready: unknown = JSON.parse(String(line[0]));
    if (!isReady(ready)) throw new Error(`the node's first line is not its ready line: ${line[0]}`);
    return ready;
  } finally {
    clearTimeout(timer);
    ended.catch(() => {
      // The race has been decided; a later end of the process is no failure of the start.
    });
    lines.close();
    child.stdout.resume();
  }
}

function isReady(line: unknown): line is { url: string; engine: string; transport: string } {
  return (
    typeof line === 'object' &&
    line !== null &&
    'event' in line &&
    line.event === 'ready' &&
    'url' in line &&
    typeof line.url === 'string' &&
    'engine' in line &&
    'transport' in line
  );
}
