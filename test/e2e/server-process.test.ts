// The command `rondo` as a process of its own: the ready line, signals, exit codes, and what the
// operator reads when it can't start. Needs the compiled files (`npx tsc`; `npm test` makes them).

import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { OperationCode } from '../../ts/wire/generated/rondo/wire/operation-code.js';
import { frameOf, pairings, RawClient, tick } from './server-fixture.js';

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const main = join(root, 'dist', 'node', 'main.js');

interface Ready {
  readonly event: string;
  readonly url: string;
  readonly port: number;
  readonly engine: string;
  readonly engineReason: string;
  readonly transport: string;
  readonly pid: number;
}

class Process {
  stdout = '';
  stderr = '';
  readonly ended: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
  readonly child: ChildProcess;

  constructor(args: readonly string[], environment: Readonly<Record<string, string>> = {}) {
    const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('RONDO_'));
    this.child = spawn(process.execPath, [main, ...args], {
      env: { ...Object.fromEntries(inherited), RONDO_DURABILITY: 'none', ...environment },
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

  async ready(): Promise<Ready> {
    const gone = this.ended.then(() => true);
    while (!this.stdout.includes('\n')) {
      if (await Promise.race([gone, tick(5)])) throw new Error(`ended early:\n${this.stderr}`);
    }
    return JSON.parse(this.stdout.slice(0, this.stdout.indexOf('\n'))) as Ready;
  }

  log(): Record<string, unknown>[] {
    const lines = this.stderr.split('\n').filter((line) => line !== '');
    return lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  }
}

const processes: Process[] = [];
function run(args: readonly string[], environment: Readonly<Record<string, string>> = {}): Process {
  const started = new Process(args, environment);
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

describe.each(pairings())('rondo serve over $transport with the $engine engine', (pairing) => {
  const { transport, engine } = pairing;
  const args = ['serve', '--port', '0', '--json', '--transport', transport, '--engine', engine];

  it.skipIf(pairing.skip !== undefined)('says when it is ready, and stops on SIGTERM', async () => {
    const node = run(args);
    const ready = await node.ready();
    expect(ready).toMatchObject({ event: 'ready', engine, transport, pid: node.child.pid });
    expect(ready.url).toBe(`ws://127.0.0.1:${ready.port}`);
    expect(ready.engineReason).not.toBe('');
    expect(node.log()[0]).toMatchObject({ event: 'engine', engine, reason: ready.engineReason });

    const client = new RawClient(ready.url, {});
    await client.opened;
    await client.hello();
    await client.put('a', 'b');
    expect((await client.get('a')).value).toBe('b');
    node.child.kill('SIGTERM');
    expect((await client.closed).code).toBe(1001);
    expect(await node.ended).toEqual({ code: 0, signal: null });
    expect(node.log().map(({ event }) => event)).toEqual([
      'engine',
      'transport',
      'serving',
      'stopping',
      'stopped',
    ]);
    expect(node.stdout.split('\n')).toHaveLength(2);
  });

  // An idle node once ended in the middle of its stop, since nothing kept the process alive.
  it.skipIf(pairing.skip !== undefined)('stops in full with no connection', async () => {
    const node = run(args);
    await node.ready();
    node.child.kill('SIGINT');
    expect(await node.ended).toEqual({ code: 0, signal: null });
    expect(node.log().at(-1)).toMatchObject({ event: 'stopped' });
  });

  it.skipIf(pairing.skip !== undefined)('ends at once on a second signal', async () => {
    const node = run(args);
    const { url } = await node.ready();
    const client = new RawClient(url, {});
    await client.opened;
    await client.hello();
    await client.put('large', new Uint8Array(1_000_000));
    client.socket.pause();
    const get = frameOf([{ code: OperationCode.Get, key: 'large' }]);
    for (let index = 0; index < 40; index++) client.socket.send(get);
    await tick(300);
    node.child.kill('SIGINT');
    while (!node.stderr.includes('"stopping"')) await tick(5);
    await tick(50);
    node.child.kill('SIGINT');
    expect(await node.ended).toEqual({ code: 130, signal: null });
    expect(node.log().at(-1)).toMatchObject({ event: 'stop_forced', signal: 'SIGINT' });
    client.socket.terminate();
  });
});

describe('a stop', () => {
  it('keeps the process alive though it waits for nothing but a timer of the clock', async () => {
    const dist = (path: string) => JSON.stringify(join(root, 'dist', 'node', path));
    const program = `
      import { stopOnSignals } from ${dist('cli/signals.js')};
      import { realClock } from ${dist('clock.js')};
      const logger = { info: ({ event }) => console.log(event) };
      stopOnSignals(logger, () => new Promise((resolve) => realClock.after(200, resolve)));
      process.kill(process.pid, 'SIGTERM');
      setTimeout(() => undefined, 50);`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', program]);
    let stdout = '';
    child.stdout.on('data', (chunk: Buffer) => {
      stdout += chunk.toString();
    });
    const code = await new Promise((resolve) => child.once('close', resolve));
    expect([code, stdout]).toEqual([0, 'stopping\nstopped\n']);
  });
});

describe('rondo, when it can not', () => {
  let folder: string;

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'rondo-process-'));
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  async function failure(
    args: readonly string[],
    environment: Readonly<Record<string, string>> = {},
  ): Promise<{ code: number | null; stderr: string }> {
    const node = run(args, environment);
    const { code } = await node.ended;
    expect(node.stdout).toBe('');
    return { code, stderr: node.stderr };
  }

  it('names the port that is in use', async () => {
    const other = createServer();
    const port = await new Promise<number>((resolve) => {
      other.listen({ host: '127.0.0.1', port: 0 }, () => {
        resolve((other.address() as { port: number }).port);
      });
    });
    const args = ['serve', '--port', String(port), '--log-level', 'silent'];
    const { code, stderr } = await failure([...args, '--transport', 'auto']);
    expect(code).toBe(1);
    expect(stderr.trimEnd().split('\n')).toHaveLength(1);
    expect(stderr).toMatch(new RegExp(`127\\.0\\.0\\.1:${port} is in use.*PORT_IN_USE`));
    const overWs = await failure([...args, '--transport', 'ws', '--json']);
    expect(overWs.code).toBe(1);
    expect(JSON.parse(overWs.stderr)).toMatchObject({ event: 'error', code: 'PORT_IN_USE' });
    await new Promise((resolve) => other.close(resolve));
  });

  it('names the setting, where it came from, the value and what is allowed', async () => {
    const file = join(folder, 'rondo.json');
    writeFileSync(file, JSON.stringify({ partitions: 6, prot: 1 }));
    const { code, stderr } = await failure(['serve', '--config', file, '--port', '70000'], {
      RONDO_ENGINE: 'fast',
      RONDO_MEMRY_MAX: '1GiB',
    });
    expect(code).toBe(2);
    expect(stderr).toContain('port (--port): "70000" is not valid; allowed: an integer from 0 to');
    expect(stderr).toContain('engine (RONDO_ENGINE): "fast" is not valid; allowed: one of auto,');
    expect(stderr).toContain(`partitions (in ${file}): 6 is not valid; allowed: a power of two`);
    expect(stderr).toContain(`prot (in ${file}): no such setting; the closest is port`);
    expect(stderr).toContain('RONDO_MEMRY_MAX: no such environment variable');
    expect(stderr).toContain('the closest is RONDO_MEMORY_MAX');
  });

  it.each([
    { what: 'is absent', content: undefined, says: /can't be read: ENOENT/ },
    { what: 'is no JSON', content: '{port: 1', says: /is not valid JSON/ },
    { what: 'is no object', content: '[1]', says: /must hold one JSON object/ },
  ])('says so when the configuration file $what', async ({ content, says }) => {
    const file = join(folder, 'other.json');
    rmSync(file, { force: true });
    if (content !== undefined) writeFileSync(file, content);
    const { code, stderr } = await failure(['serve'], { RONDO_CONFIG: file });
    expect(code).toBe(2);
    expect(stderr).toMatch(says);
    expect(stderr).toContain(file);
    expect(stderr).toContain('CONFIG_UNREADABLE');
  });

  it('refuses to be open to others by mistake, and to start without its tokens', async () => {
    const open = await failure(['serve', '--host', '0.0.0.0', '--log-level', 'silent']);
    expect(open.code).toBe(2);
    expect(open.stderr).toMatch(/host: 0\.0\.0\.0 .*--token-file.*HOST_NOT_PROTECTED/);
    const absent = join(folder, 'no-tokens');
    const without = await failure(['serve', '--token-file', absent, '--log-level', 'silent']);
    expect(without.code).toBe(2);
    expect(without.stderr).toMatch(/tokenFile: .*no-tokens can't be read.*TOKEN_FILE_INVALID/);
  });

  it('answers wrong usage with 2, and help and version with 0', async () => {
    expect(await failure(['serve', '--bogus'])).toMatchObject({ code: 2 });
    expect(await failure(['bogus'])).toMatchObject({ code: 2 });
    const version = run(['--version']);
    expect(await version.ended).toMatchObject({ code: 0 });
    expect(version.stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
    const help = run(['serve', '--help']);
    expect(await help.ended).toMatchObject({ code: 0 });
    expect(help.stdout).toContain('--memory-max <SIZE>');
    expect(help.stdout).toContain('Examples:');
  });

  it('examines the machine: rondo doctor', async () => {
    const doctor = run(['doctor', '--json', '--port', '0']);
    expect(await doctor.ended).toMatchObject({ code: 0 });
    const report = JSON.parse(doctor.stdout) as { ok: boolean; findings: { name: string }[] };
    expect(report.ok).toBe(true);
    expect(report.findings.map(({ name }) => name)).toEqual([
      'settings',
      'node',
      'engine',
      'transport',
      'workers',
      'access',
      'data',
      'port',
      'descriptors',
      'memory',
    ]);
    const broken = run(['doctor', '--host', '0.0.0.0', '--port', '0']);
    expect(await broken.ended).toMatchObject({ code: 1 });
    expect(broken.stdout).toMatch(/BROKEN +access/);
    expect(broken.stdout).toMatch(/--token-file/);
  });

  it('says in doctor that another node holds the port', async () => {
    const node = run(['serve', '--port', '0', '--json']);
    const { port } = await node.ready();
    const doctor = run(['doctor', '--port', String(port)]);
    expect(await doctor.ended).toMatchObject({ code: 0 });
    expect(doctor.stdout).toMatch(/answers like a Rondo node/);
  });
});
