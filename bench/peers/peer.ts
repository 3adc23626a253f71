// What the benchmark needs of a server, be it the node or a peer: whether it is installed, and to
// start it so that it holds nothing, serves loopback only and promises what its rows say.

import { spawnSync } from 'node:child_process';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { findProgram } from './machine.js';
import type { Cores, Process, Processes } from './processes.js';

export interface StartContext {
  readonly processes: Processes;
  /** An empty folder of the server's own. */
  readonly folder: string;
  readonly core: Cores | undefined;
}

export interface Server {
  /** `host:port`. */
  readonly address: string;
  /** Undefined where nothing runs between measurements. */
  readonly process?: Process;
  /** What it reports itself, for the JSON. */
  details?(): Promise<Readonly<Record<string, number>>>;
}

export interface Found {
  readonly program: string;
  readonly version: string;
}

export interface Peer {
  readonly name: string;
  /** How to install it; undefined for what comes with the repository. */
  readonly install?: string;
  /** Undefined where it is not installed. */
  find(): Found | undefined;
  start(found: Found, context: StartContext): Promise<Server>;
}

const READY_DEADLINE_MS = 15_000;
const READY_LOOK_MS = 20;
const CONNECT_TIMEOUT_MS = 2_000;

/** Looks for a program and asks it for its version; `undefined` where there is no such program. */
export function findVersion(
  program: string,
  args: readonly string[],
  pattern: RegExp,
): Found | undefined {
  const file = findProgram(program);
  if (file === undefined) return undefined;
  const { stdout, stderr, error } = spawnSync(file, args, { encoding: 'utf8', timeout: 10_000 });
  if (error !== undefined) throw new Error(`${file} does not run: ${error.message}`);
  const version = pattern.exec(`${stdout}\n${stderr}`)?.[1];
  if (version === undefined) throw new Error(`${file} ${args.join(' ')} does not tell a version`);
  return { program: file, version };
}

/** Tries until `probe` succeeds; fails when the process ends before, or after a deadline. */
export async function untilReady(server: Process, probe: () => Promise<void>): Promise<void> {
  const deadline = performance.now() + READY_DEADLINE_MS;
  for (;;) {
    if (server.hasEnded) throw new Error(server.obituary);
    try {
      await probe();
      return;
    } catch (error) {
      if (performance.now() > deadline) {
        const why = error instanceof Error ? error.message : String(error);
        throw new Error(`${server.name} is not ready after ${READY_DEADLINE_MS} ms: ${why}`);
      }
    }
    await sleep(READY_LOOK_MS);
  }
}

/** Sends a line (where there is one) and resolves with the answer once it matches. */
export function ask(port: number, line: string, expected: RegExp): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket: Socket = connect({ host: '127.0.0.1', port });
    let answer = '';
    const fail = (error: Error): void => {
      socket.destroy();
      reject(error);
    };
    socket.setTimeout(CONNECT_TIMEOUT_MS, () => fail(new Error('no answer in time')));
    socket.once('error', fail);
    socket.once('close', () => reject(new Error('closed without an answer')));
    if (line !== '') socket.write(line);
    socket.setEncoding('utf8').on('data', (text: string) => {
      answer += text;
      if (!expected.test(answer)) return;
      socket.destroy();
      resolve(answer);
    });
  });
}
