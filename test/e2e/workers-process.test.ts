// `rondo serve` with several workers as a process of its own: signals, exit codes and what is printed. A process that
// ends while a thread has an open uWebSockets.js app is aborted, so each way to end is tried here.

import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { OperationCode } from '../../ts/wire/generated/rondo/wire/operation-code.js';
import { frameOf, RawClient, tick } from './server-fixture.js';
import { eventually } from './workers-fixture.js';

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const main = join(root, 'dist', 'node', 'main.js');
const SERVE = ['serve', '--port', '0', '--json', '--workers', '2', '--durability', 'none'];

class Process {
  stdout = '';
  stderr = '';
  readonly child: ChildProcess;
  readonly ended: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;

  constructor(args: readonly string[]) {
    const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('RONDO_'));
    this.child = spawn(process.execPath, [main, ...args], {
      env: Object.fromEntries(inherited),
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.stdout += text;
    });
    this.child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text;
    });
    this.ended = new Promise((resolve) => {
      this.child.once('close', (code, signal) => resolve({ code, signal }));
    });
  }

  async ready(): Promise<{ url: string; port: number; workers: number }> {
    const gone = this.ended.then(() => true);
    while (!this.stdout.includes('\n')) {
      if (await Promise.race([gone, tick(20)])) throw new Error(`ended early:\n${this.stderr}`);
    }
    return JSON.parse(this.stdout) as { url: string; port: number; workers: number };
  }

  events(): string[] {
    const lines = this.stderr.split('\n').filter((line) => line.startsWith('{'));
    return lines.map((line) => (JSON.parse(line) as { event: string }).event);
  }
}

const processes: Process[] = [];
function run(args: readonly string[] = SERVE): Process {
  const started = new Process(args);
  processes.push(started);
  return started;
}

beforeAll(() => {
  if (!existsSync(main)) throw new Error(`${main} is missing: run npx tsc`);
});

afterEach(async () => {
  for (const { child, ended } of processes.splice(0)) {
    child.kill('SIGKILL');
    await ended;
  }
});

describe('rondo serve --workers 2', { timeout: 120_000 }, () => {
  it('says when it is ready, and stops on SIGTERM', async () => {
    const node = run();
    const ready = await node.ready();
    expect(ready.workers).toBe(2);
    const client = new RawClient(ready.url, {});
    await client.opened;
    await client.hello();
    node.child.kill('SIGTERM');
    expect((await client.closed).code).toBe(1001);
    expect(await node.ended).toEqual({ code: 0, signal: null });
    expect(node.events()).toEqual(['engine', 'transport', 'serving', 'stopping', 'stopped']);
  });

  it('ends at once on a second signal', async () => {
    const node = run();
    const { url } = await node.ready();
    const client = new RawClient(url, {});
    await client.opened;
    await client.hello();
    const frame = frameOf([
      { code: OperationCode.Put, key: 'large', value: new Uint8Array(1_000_000) },
    ]);
    await client.request(frame);
    client.socket.pause();
    const get = frameOf([{ code: OperationCode.Get, key: 'large' }]);
    for (let index = 0; index < 40; index++) client.socket.send(get);
    await tick(500);
    node.child.kill('SIGINT');
    while (!node.stderr.includes('"stopping"')) await tick(5);
    await tick(50);
    node.child.kill('SIGINT');
    expect(await node.ended).toEqual({ code: 130, signal: null });
    expect(node.events().at(-1)).toBe('stop_forced');
    client.socket.terminate();
  });

  it('restarts its workers on SIGHUP, one after the other', async () => {
    const node = run();
    const { url } = await node.ready();
    node.child.kill('SIGHUP');
    await eventually(() => node.events().includes('restarted'), 'the restart');
    expect(node.events().filter((event) => event === 'worker_restarted')).toHaveLength(2);
    const ready = await fetch(`${url.replace(/^ws/, 'http')}/readyz`);
    expect(ready.status).toBe(200);
    node.child.kill('SIGTERM');
    expect(await node.ended).toEqual({ code: 0, signal: null });
  });

  it('refuses a port that is in use, though workers share theirs', async () => {
    const other = createServer();
    const port = await new Promise<number>((resolve) => {
      other.listen({ host: '127.0.0.1', port: 0 }, () => {
        resolve((other.address() as { port: number }).port);
      });
    });
    const taken = run([...SERVE, '--port', String(port), '--log-level', 'silent']);
    expect(await taken.ended).toEqual({ code: 1, signal: null });
    expect(JSON.parse(taken.stderr)).toMatchObject({ event: 'error', code: 'PORT_IN_USE' });
    await new Promise((resolve) => other.close(resolve));

    const node = run();
    const ready = await node.ready();
    const second = run([...SERVE, '--port', String(ready.port), '--log-level', 'silent']);
    expect(await second.ended).toEqual({ code: 1, signal: null });
    expect(JSON.parse(second.stderr)).toMatchObject({ event: 'error', code: 'PORT_IN_USE' });
  });

  it('shows the workers in status and doctor', async () => {
    const node = run();
    const { url } = await node.ready();
    const status = run(['status', '--url', url, '--json']);
    expect(await status.ended).toEqual({ code: 0, signal: null });
    const { workers } = JSON.parse(status.stdout) as { workers: { isServing: boolean }[] };
    expect(workers.map(({ isServing }) => isServing)).toEqual([true, true]);
    const text = run(['status', '--url', url]);
    await text.ended;
    expect(text.stdout).toMatch(/^worker 0 +serves at port \d+/m);
    expect(text.stdout).toMatch(/^worker 1 +serves at port \d+/m);
    const doctor = run(['doctor', '--workers', '2', '--port', '0', '--durability', 'none']);
    await doctor.ended;
    expect(doctor.stdout).toMatch(/workers +2 workers on \d+ cores/);
  });
});
