// A node in a process of its own for the end-to-end tests of client, commands and demo, and short runs
// of built programs. `npm test` builds before it tests.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { chooseEngine } from '../../ts/engine/load.js';

export const DIST = fileURLToPath(new URL('../../dist/', import.meta.url));
const MAIN = `${DIST}node/main.js`;

export interface TestNode {
  readonly url: string;
  readonly engine: string;
  stop(): Promise<void>;
  /** Ends it at once, as a crash would. */
  kill(): Promise<void>;
}

/** A port of the loopback that nothing uses now. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

/** Why there is no native engine here; undefined where there is one. */
export function nativeAbsence(): string | undefined {
  try {
    chooseEngine('native');
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** A node of one worker, with its state in memory, unless the arguments say otherwise. */
export async function startTestNode(...arguments_: string[]): Promise<TestNode> {
  if (!existsSync(MAIN)) throw new Error(`${MAIN} is not built; run npx tsc first`);
  const durability = arguments_.includes('--data-dir') ? [] : ['--durability', 'none'];
  const workers = arguments_.includes('--workers') ? [] : ['--workers', '1'];
  const all = [MAIN, 'serve', '--json', '--port', '0', ...durability, ...workers, ...arguments_];
  const child = spawn(process.execPath, all, { stdio: ['ignore', 'pipe', 'pipe'] });
  let log = '';
  child.stderr.on('data', (chunk: Buffer) => {
    log += chunk.toString();
  });
  const exited = once(child, 'exit');
  const end = async (signal: 'SIGTERM' | 'SIGKILL'): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null) child.kill(signal);
    await exited;
  };
  const failed = exited.then(() => {
    throw new Error(`the node ended before it was ready:\n${log}`);
  });
  failed.catch(() => {
    // Ending is what a node does in the end; it is a failure only in the race below.
  });
  const [line] = (await Promise.race([
    once(createInterface({ input: child.stdout }), 'line'),
    failed,
  ])) as [string];
  const { url, engine } = JSON.parse(line) as { url: string; engine: string };
  return { url, engine, stop: () => end('SIGTERM'), kill: () => end('SIGKILL') };
}

export interface Run {
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a built program to its end. */
export async function run(
  program: string,
  arguments_: readonly string[],
  options: { input?: string; env?: Record<string, string> } = {},
): Promise<Run> {
  const child = spawn(process.execPath, [DIST + program, ...arguments_], {
    env: { ...process.env, ...options.env },
  });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk: Buffer) => {
    stdout += chunk.toString();
  });
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  child.stdin.end(options.input ?? '');
  const [exitCode] = (await once(child, 'close')) as [number | null];
  return { exitCode, stdout, stderr };
}

/** The same, with its standard output closed by the reader after the first bytes. */
export async function runUnread(
  arguments_: readonly string[],
  url: string,
): Promise<Pick<Run, 'exitCode' | 'stderr'>> {
  const child = spawn(process.execPath, [MAIN, ...arguments_], {
    env: { ...process.env, RONDO_URL: url },
  });
  let stderr = '';
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  child.stdout.once('data', () => child.stdout.destroy());
  const [exitCode] = (await once(child, 'close')) as [number | null];
  return { exitCode, stderr };
}
