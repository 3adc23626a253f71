// What the end-to-end tests of the benchmark need: its main program as a process, a Redis that answers
// wrongly, and to see every process that a run has left behind.

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { findProgram } from '../../bench/peers/machine.js';

export const root = fileURLToPath(new URL('../../', import.meta.url));
const mainOf = (bench: 'peers' | 'log' | 'workers'): string =>
  join(root, `dist/bench/${bench}/main.js`);
/** In the environment of a run and so of all that it starts. */
const MARK = 'PEERS_TEST_RUN';

/** Builds the load generator; why there is none, where that is so. */
export function buildGenerator(): string | undefined {
  const main = mainOf('peers');
  if (!existsSync(main)) throw new Error(`${main} is absent: run npx tsc`);
  const addon: unknown = JSON.parse(readFileSync(join(root, 'core-native/addon.json'), 'utf8'));
  if (!(addon as { built: boolean }).built) return 'there is no native engine';
  const args = ['build', '--release', '--locked', '--quiet', '--package', 'rondo-load'];
  const build = spawnSync('cargo', args, { cwd: root, encoding: 'utf8' });
  if (build.error !== undefined) return 'cargo (Rust) is not installed';
  return build.status === 0 ? undefined : `the load generator does not build: ${build.stderr}`;
}

export interface Run {
  readonly child: ChildProcess;
  readonly ended: Promise<{ code: number | null; stdout: string; stderr: string }>;
  /** Settled when standard error matches; rejects when the run ends before. */
  saying(pattern: RegExp): Promise<void>;
  /** Command lines of its processes that are still there. */
  leftovers(): string[];
}

let lastRun = 0;

export function runPeers(args: readonly string[], environment: Record<string, string> = {}): Run {
  return runBench('peers', args, environment);
}

export function runBench(
  bench: 'peers' | 'log' | 'workers',
  args: readonly string[],
  environment: Record<string, string> = {},
): Run {
  const mark = `${process.pid}-${++lastRun}`;
  const child = spawn(process.execPath, [mainOf(bench), ...args], {
    env: { ...process.env, ...environment, [MARK]: mark },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const ended = new Promise<{ code: number | null; stdout: string; stderr: string }>((resolve) => {
    child.once('close', (code) => resolve({ code, stdout, stderr }));
  });
  return {
    child,
    ended,
    saying: (pattern) =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          if (pattern.test(stderr)) resolve();
        };
        child.stderr.on('data', look);
        void ended.then(() => reject(new Error(`ended without ${pattern}: ${stderr}`)));
        look();
      }),
    leftovers: () => processesWith(`${MARK}=${mark}`),
  };
}

function processesWith(entry: string): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        const environment = readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0');
        if (!environment.includes(entry)) return [];
        return [`${pid} ${readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')}`];
      } catch {
        return []; // Gone in the meantime, or not ours.
      }
    });
}

/**
 * Puts a `redis-server` into the folder that greets and stores like one, but gives every value with
 * its last byte changed (`wrong`), or ends at the thousandth command (`dies`).
 */
export function writeFalseRedis(folder: string, fault: 'wrong' | 'dies'): void {
  const script = `#!${process.execPath}
const { createServer } = require('node:net');
const args = process.argv.slice(2);
if (args[0] === '--version') {
  console.log('Redis server v=0.0.0 sha=00000000:0');
  process.exit(0);
}
const values = new Map();
let commands = 0;
createServer((socket) => {
  let input = Buffer.alloc(0);
  socket.on('error', () => socket.destroy());
  socket.on('data', (chunk) => {
    input = Buffer.concat([input, chunk]);
    let out = [];
    for (let command; (command = take()) !== undefined; ) out.push(answer(command));
    socket.write(Buffer.concat(out));
  });
  function line(at) {
    const end = input.indexOf('\\r\\n', at);
    return end < 0 ? undefined : { text: input.toString('latin1', at, end), next: end + 2 };
  }
  function take() {
    const head = line(0);
    if (head === undefined) return undefined;
    if (head.text[0] !== '*') {
      input = input.subarray(head.next);
      return head.text.split(' ').map((word) => Buffer.from(word));
    }
    const parts = [];
    let at = head.next;
    for (let left = Number(head.text.slice(1)); left > 0; left--) {
      const size = line(at);
      if (size === undefined) return undefined;
      const bytes = Number(size.text.slice(1));
      if (input.length < size.next + bytes + 2) return undefined;
      parts.push(input.subarray(size.next, size.next + bytes));
      at = size.next + bytes + 2;
    }
    input = input.subarray(at);
    return parts;
  }
}).listen(Number(args[args.indexOf('--port') + 1]), '127.0.0.1');
function answer([name, key, value]) {
  if (${JSON.stringify(fault)} === 'dies' && ++commands === 1000) {
    console.error('out of patience');
    process.exit(7);
  }
  const word = name.toString().toUpperCase();
  if (word === 'PING') return Buffer.from('+PONG\\r\\n');
  if (word === 'SET') {
    values.set(key.toString('latin1'), Buffer.from(value));
    return Buffer.from('+OK\\r\\n');
  }
  if (word !== 'GET') return bulk(Buffer.from('used_memory:1\\r\\n'));
  const found = Buffer.from(values.get(key.toString('latin1')) ?? '');
  if (${JSON.stringify(fault)} === 'wrong') found[found.length - 1] ^= 1;
  return bulk(found);
}
function bulk(bytes) {
  return Buffer.concat([Buffer.from('$' + bytes.length + '\\r\\n'), bytes, Buffer.from('\\r\\n')]);
}
`;
  const file = join(folder, 'redis-server');
  writeFileSync(file, script);
  chmodSync(file, 0o755);
}

/** Makes a folder for PATH in which there is no peer and no cargo: the generator has been built. */
export function linkTools(folder: string): void {
  const file = findProgram('taskset');
  if (file !== undefined) symlinkSync(file, join(folder, 'taskset'));
}
