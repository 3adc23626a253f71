// The commands of locks and watches as a person or a script uses them: output, exit codes, and what becomes of
// a command whose lock is lost.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { connect, type Rondo } from '../../ts/client/index.js';
import { DIST, freePort, type Run, run, startTestNode, type TestNode } from './client-node.js';

let node: TestNode;
let holder: Rondo;
const children: ChildProcess[] = [];

beforeAll(async () => {
  node = await startTestNode();
  holder = connect({ url: node.url });
});
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
});
afterAll(async () => {
  await holder.close();
  await node.stop();
});

function rondo(...arguments_: string[]): Promise<Run> {
  return run('node/main.js', arguments_, { env: { RONDO_URL: node.url } });
}

interface Running {
  readonly child: ChildProcess;
  /** What it has printed so far. */
  readonly output: () => string;
  readonly errors: () => string;
  readonly exited: Promise<number | null>;
}

function start(url: string, ...arguments_: string[]): Running {
  const child = spawn(process.execPath, [`${DIST}node/main.js`, ...arguments_], {
    env: { ...process.env, RONDO_URL: url },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  children.push(child);
  let output = '';
  let errors = '';
  child.stdout.on('data', (chunk: Buffer) => {
    output += chunk.toString();
  });
  child.stderr.on('data', (chunk: Buffer) => {
    errors += chunk.toString();
  });
  const exited = once(child, 'close').then(([code]) => code as number | null);
  return { child, output: () => output, errors: () => errors, exited };
}

async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  const end = performance.now() + 10_000;
  while (!(await holds())) {
    if (performance.now() > end) throw new Error(`never came true: ${holds}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function waiters(name: string): Promise<number> {
  for await (const lock of holder.locks(name)) return lock.waits;
  return 0;
}

describe('rondo lock', () => {
  it('runs a command while it holds the lock, which the command is told of', async () => {
    const script = 'console.log(process.env.RONDO_LOCK_NAME, process.env.RONDO_LOCK_TOKEN)';
    const first = await rondo('lock', 'job', '--', process.execPath, '-e', script);
    expect(first).toMatchObject({ exitCode: 0, stderr: '' });
    const second = await rondo('lock', 'job', '--', process.execPath, '-e', script);
    const [name, token] = first.stdout.trim().split(' ');
    expect(name).toBe('job');
    expect(Number(second.stdout.trim().split(' ')[1])).toBeGreaterThan(Number(token));
    expect(await rondo('locks', 'job')).toMatchObject({ exitCode: 0, stdout: 'no locks\n' });
  });

  it('exits as the command does, also where it cannot be run', async () => {
    const seven = await rondo('lock', 'x', '--', process.execPath, '-e', 'process.exit(7)');
    expect(seven).toMatchObject({ exitCode: 7, stderr: '' });
    const killed = 'process.kill(process.pid, "SIGKILL")';
    expect((await rondo('lock', 'x', '--', process.execPath, '-e', killed)).exitCode).toBe(137);
    const absent = await rondo('lock', 'x', '--', '/no/such/command');
    expect(absent.exitCode).toBe(127);
    expect(absent.stderr).toMatch(/^rondo: \/no\/such\/command cannot be run: .*ENOENT/);
  });

  it('waits as long as it may', async () => {
    const lock = await holder.lock('busy');
    for (const [wait, code] of [
      ['0', 'LOCK_HELD'],
      ['50ms', 'LOCK_TIMEOUT'],
    ] as const) {
      const refused = await rondo('lock', 'busy', '--wait', wait, '--json', '--', 'false');
      expect(refused).toMatchObject({ exitCode: 1, stdout: '' });
      expect(JSON.parse(refused.stderr)).toMatchObject({ code });
    }
    const waiting = start(node.url, 'lock', 'busy', '--', 'echo', 'granted');
    await until(async () => (await waiters('busy')) === 1);
    await lock.release();
    expect(await waiting.exited).toBe(0);
    expect(waiting.output()).toBe('granted\n');
  });

  it('is shared with other shared holders only', async () => {
    await using lock = await holder.lock('common', { mode: 'shared' });
    expect(lock.mode).toBe('shared');
    expect((await rondo('lock', 'common', '--shared', '--wait', '0', '--', 'true')).exitCode).toBe(
      0,
    );
    expect((await rondo('lock', 'common', '--wait', '0', '--', 'true')).exitCode).toBe(1);
  });

  it('gives up its wait, or ends its command, when it is stopped', async () => {
    const lock = await holder.lock('stopped');
    const waiting = start(node.url, 'lock', 'stopped', '--', 'echo', 'never');
    await until(async () => (await waiters('stopped')) === 1);
    waiting.child.kill('SIGINT');
    expect(await waiting.exited).toBe(130);
    expect(waiting.output()).toBe('');
    await until(async () => (await waiters('stopped')) === 0);
    await lock.release();

    const sleep = 'console.log("up"); setInterval(() => {}, 1000)';
    const running = start(node.url, 'lock', 'stopped', '--', process.execPath, '-e', sleep);
    await until(() => running.output() === 'up\n');
    running.child.kill('SIGTERM');
    expect(await running.exited).toBe(143);
    // The lock was given back, not left to time out.
    const next = await holder.lock('stopped', { waitMs: 500 });
    await next.release();
  });

  it('ends the command when the lock is lost', async () => {
    const lonely = await startTestNode();
    const script =
      'console.log("up"); setInterval(() => {}, 1000); ' +
      'process.on("SIGTERM", () => { console.log("told"); process.exit(0); })';
    const run = ['lock', 'lost', '--ttl', '1s', '--', process.execPath, '-e', script];
    const running = start(lonely.url, ...run);
    await until(() => running.output() === 'up\n');
    await lonely.kill();
    expect(await running.exited).toBe(1);
    expect(running.output()).toBe('up\ntold\n');
    expect(running.errors()).toMatch(/the lock "lost" was lost, and the command was ended/);
  });

  it('ends what the command has started, too', async () => {
    const lonely = await startTestNode();
    const script = 'sleep 1000 & echo up; wait; echo never';
    const running = start(lonely.url, 'lock', 'lost', '--ttl', '1s', '--', 'sh', '-c', script);
    await until(() => running.output() === 'up\n');
    await lonely.kill();
    // Its output ends when nobody is left who could write to it.
    expect(await running.exited).toBe(1);
    expect(running.output()).toBe('up\n');
  });
});

describe('a command that is stopped while there is no node', () => {
  it('ends at once', async () => {
    const nowhere = `ws://127.0.0.1:${await freePort()}`;
    for (const [arguments_, exitCode] of [
      [['lock', 'k', '--timeout', '30s', '--', 'true'], 130],
      [['watch', '--timeout', '30s'], 0],
    ] as const) {
      const running = start(nowhere, ...arguments_);
      // Its handler of signals is there a moment after it has begun.
      await new Promise((resolve) => setTimeout(resolve, 2500));
      const began = performance.now();
      running.child.kill('SIGINT');
      expect(await running.exited).toBe(exitCode);
      expect(performance.now() - began).toBeLessThan(5000);
    }
  }, 30_000);
});

describe('rondo locks', () => {
  it('shows who holds and who waits', async () => {
    const lock = await holder.lock('shown/a', { ttlMs: 60_000 });
    const other = connect({ url: node.url });
    const stop = new AbortController();
    const waiting = other.lock('shown/a', { mode: 'shared', signal: stop.signal });
    waiting.catch(() => {
      // It is given up below.
    });
    const shared = await other.lock('shown/b', { mode: 'shared' });
    await until(async () => (await waiters('shown/a')) === 1);
    const { stdout } = await rondo('locks', 'shown/');
    const [head = '', ...lines] = stdout.trimEnd().split('\n');
    expect(head).toMatch(/^name +state +mode +session +token +age +ends$/);
    expect(lines).toHaveLength(3);
    expect(lines[0]).toMatch(
      new RegExp(`^shown/a +held +exclusive +[0-9a-f]{14} +${lock.token} +\\d.* in \\d+ s$`),
    );
    expect(lines[1]).toMatch(/^shown\/a +waits +shared +[0-9a-f]{14} +- +\d.* when granted$/);
    expect(lines[2]).toMatch(/^shown\/b +held +shared .* with its session$/);

    const json = await rondo('locks', 'shown/', '--format', 'json', '--limit', '1');
    expect(JSON.parse(json.stdout)).toMatchObject({
      name: 'shown/a',
      token: lock.token,
      holders: [{ token: lock.token, mode: 'exclusive', depth: 1 }],
      waiters: [{ mode: 'shared', isUpgrade: false }],
    });
    stop.abort();
    await shared.release();
    await lock.release();
    await other.close();
  });
});

describe('rondo watch', () => {
  it('prints what is there and what happens, and goes on from a token', async () => {
    await holder.kv.put('w/a', 'one\n');
    const watching = start(node.url, 'watch', 'w/');
    await until(() => watching.output().includes('synced'));
    await holder.kv.put('w/b', { n: 1 });
    await holder.kv.touch('w/b', { ttlMs: 60_000 });
    await holder.kv.delete('w/b');
    await holder.kv.put('other', 1);
    await until(() => watching.output().includes('delete'));
    watching.child.kill('SIGINT');
    expect(await watching.exited).toBe(0);
    expect(watching.errors()).toBe('');
    expect(watching.output().split('\n')).toEqual([
      'put           w/a\t"one\\\\n"',
      'synced',
      'put           w/b\t{"n":1}',
      'touch         w/b',
      'delete        w/b',
      '',
    ]);

    const told = start(node.url, 'watch', 'w/a', '--exact', '--format', 'json');
    await until(() => told.output().includes('synced'));
    told.child.kill('SIGTERM');
    expect(await told.exited).toBe(0);
    const lines = told.output().trim().split('\n');
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({ type: 'put', value: '"one\\n"' });
    const { token } = JSON.parse(lines[1] ?? '') as { token: string };
    await holder.kv.put('w/a', 2);
    const resumed = start(node.url, 'watch', 'w/a', '--exact', '--resume', token, '--json');
    await until(() => resumed.output().endsWith('\n'));
    expect(JSON.parse(resumed.output())).toMatchObject({ type: 'put', value: '2' });
  });

  it('prints what happens to locks and sessions', async () => {
    const flags = ['--locks', '--sessions', '--keys-only', '--no-snapshot'];
    const watching = start(node.url, 'watch', ...flags);
    await until(async () => {
      const facts = await rondo('status', '--json');
      return (JSON.parse(facts.stdout) as { watches: number }).watches === 1;
    });
    expect((await rondo('lock', 'seen', '--', 'true')).exitCode).toBe(0);
    await until(() => watching.output().includes('sessionEnded'));
    const session = /sessionOpened +([0-9a-f]{14})/.exec(watching.output())?.[1];
    expect(watching.output()).toMatch(new RegExp(`^lockGranted +seen\\t${session}\\t\\d+$`, 'm'));
    expect(watching.output()).toMatch(/^lockReleased +seen\t\d+$/m);
  });

  it('refuses a token of another node', async () => {
    const refused = await rondo('watch', 'w/', '--resume', '1.1.1s.1', '--json');
    expect(refused).toMatchObject({ exitCode: 1, stdout: '' });
    expect(JSON.parse(refused.stderr)).toMatchObject({ code: 'TOKEN_FOREIGN' });
    expect((await rondo('watch', 'w/', '--resume', 'nonsense')).exitCode).toBe(2);
    expect((await rondo('watch', '--exact')).exitCode).toBe(2);
    expect((await rondo('watch', 'w/', '--overflow', 'drop')).exitCode).toBe(2);
  });
});

describe('the commands', () => {
  it('explain themselves, and count in the status', async () => {
    for (const command of ['lock', 'locks', 'watch']) {
      const { exitCode, stdout } = await rondo(command, '--help');
      expect(exitCode).toBe(0);
      expect(stdout).toContain(`$ rondo ${command}`);
    }
    const { stdout } = await rondo('status');
    expect(stdout).toMatch(/^sessions +1$/m);
    expect(stdout).toMatch(/^watches +0$/m);
    for (const wrong of [
      ['lock', 'x'],
      ['lock', 'x', '--ttl', '1', '--', 'true'],
      ['lock', 'x', '--ttl', '1ms', '--', 'true'],
      ['lock', '', '--', 'true'],
      ['locks', '--limit', '0'],
      ['locks', '--format', 'xml'],
    ]) {
      expect([wrong, (await rondo(...wrong)).exitCode]).toEqual([wrong, 2]);
    }
  });
});
