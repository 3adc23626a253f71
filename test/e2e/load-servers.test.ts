// The load generator against what it is made for: a node as a process, Redis where it is installed,
// and a WebSocket server that echoes.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { WebSocketServer } from 'ws';
import { BUILD_TIMEOUT_MS, Generator } from './load-fixture.js';
import { tick } from './server-fixture.js';

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const main = join(root, 'dist', 'node', 'main.js');
const REDIS = process.env.REDIS_SERVER ?? '/usr/bin/redis-server';
const noRedis = existsSync(REDIS)
  ? undefined
  : `${REDIS} is not there: apt-get install redis-server`;

let generator: Generator;
beforeAll(() => {
  generator = new Generator();
}, BUILD_TIMEOUT_MS);
beforeEach((context) => generator.skipIfAbsent(context));
afterAll(() => generator?.stop());

async function end(child: ChildProcess | undefined): Promise<void> {
  if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const exit = once(child, 'exit');
  child.kill('SIGKILL');
  await exit;
}

/** The runs that a server with every feature of the generator's targets must pass. */
function contract(target: () => string): void {
  const short = '--connections 8 --keys 2000 --duration 300ms --warm-up 50ms';

  it.each([
    ['one at a time', '--prefill --read-ratio 0.5'],
    ['many outstanding', '--prefill --read-ratio 0.5 --outstanding 128'],
    ['fixed batches', '--prefill --outstanding 32 --batch 16'],
    ['two threads and Zipf keys', '--prefill --threads 2 --distribution zipf:0.99'],
    ['tiny values', '--prefill --read-ratio 0.5 --value-bytes 1'],
    ['values larger than any buffer', '--prefill --keys 20 --read-ratio 0.5 --value-bytes 700001'],
    ['an open loop', '--prefill --rate 2000 --read-ratio 0.9'],
  ])('%s', async (_, more) => {
    const report = await generator.report(`${target()} ${short} ${more}`);
    expect(report.operations).toBeGreaterThan(10);
    expect(report.misses).toBe(0);
    expect(report.latencyMicros.max).toBeGreaterThan(0);
  });
}

describe('a node', () => {
  const scratch = mkdtempSync(join(tmpdir(), 'rondo-load-'));
  const tokens = join(scratch, 'tokens');
  let child: ChildProcess | undefined;
  let address = '';

  beforeAll(async () => {
    if (!existsSync(main)) throw new Error(`${main} is missing: run npx tsc`);
    writeFileSync(tokens, '# those that may\na-secret\n');
    const state = ['--durability', 'none'];
    const args = [main, 'serve', '--port', '0', '--json', '--token-file', tokens, ...state];
    child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    let log = '';
    child.stderr!.on('data', (text: Buffer) => {
      log += text;
    });
    const [line] = (await Promise.race([once(child.stdout!, 'data'), once(child, 'exit')])) as [
      Buffer | number | null,
    ];
    if (!Buffer.isBuffer(line)) throw new Error(`the node ended with ${line}: ${log}`);
    address = `127.0.0.1:${(JSON.parse(line.toString()) as { port: number }).port}`;
  });
  afterAll(async () => {
    await end(child);
    rmSync(scratch, { recursive: true, force: true });
  });

  contract(() => `--address ${address} --token-file ${tokens}`);

  it('that refuses the token is quoted', async () => {
    expect(await generator.failure(`--address ${address}`)).toMatch(
      /closed the connection with code 4039 \(Unauthenticated\): /,
    );
  });
});

describe.skipIf(noRedis !== undefined)(`Redis${noRedis ? ` (${noRedis})` : ''}`, () => {
  const scratch = mkdtempSync(join(tmpdir(), 'rondo-load-redis-'));
  let child: ChildProcess | undefined;
  let port = 0;

  beforeAll(async () => {
    const probe = createServer().listen(0, '127.0.0.1');
    await once(probe, 'listening');
    ({ port } = probe.address() as AddressInfo);
    probe.close();
    await once(probe, 'close');
    const settings = ['--bind', '127.0.0.1', '--save', '', '--dir', scratch];
    child = spawn(REDIS, ['--port', `${port}`, ...settings], { stdio: 'ignore' });
    for (let attempt = 0; !(await answers(port)); attempt++) {
      if (attempt > 200) throw new Error('Redis does not start');
      await tick(25);
    }
  });
  afterAll(async () => {
    await end(child);
    rmSync(scratch, { recursive: true, force: true });
  });

  contract(() => `--target redis --address 127.0.0.1:${port}`);

  it('has the same keys and values as a node has', async () => {
    const args = `--target redis --address 127.0.0.1:${port} --keys 5 --duration 100ms --warm-up 0`;
    const { server } = await generator.report(`${args} --prefill`);
    expect(server).toMatchObject({ name: 'redis', appendOnly: false });
    expect(server.version).toMatch(/^\d+\.\d+/);
    // What another run wrote with another seed is checked as strictly.
    await generator.report(`${args} --seed 99`);
  });
});

/** Whether something listens at a port of this machine. */
async function answers(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    // Not yet.
    return false;
  } finally {
    socket.destroy();
  }
}

describe('an echo', () => {
  let echo: WebSocketServer;
  let change: (data: Buffer) => Buffer = (data) => data;

  beforeAll(async () => {
    echo = new WebSocketServer({ host: '127.0.0.1', port: 0, perMessageDeflate: false });
    echo.on('connection', (socket) => {
      socket.on('message', (data: Buffer) => socket.send(change(data)));
    });
    await once(echo, 'listening');
  });
  afterAll(() => {
    for (const socket of echo.clients) socket.terminate();
    echo.close();
  });

  const args = () =>
    `--target echo --address 127.0.0.1:${(echo.address() as AddressInfo).port} --duration 200ms`;

  it('is measured with the frames of a node', async () => {
    const report = await generator.report(`${args()} --outstanding 16 --read-ratio 0.5`);
    expect(report).toMatchObject({ target: 'echo', server: { name: 'echo' } });
    expect(report.operations).toBeGreaterThan(100);
    expect(report.bytesReceived).toBeGreaterThan(report.operations * 49);
  });

  it('is checked as a node is', async () => {
    change = (data) => {
      const copy = Buffer.from(data);
      copy[copy.length - 1] = (copy.at(-1) as number) ^ 1;
      return copy;
    };
    expect(await generator.failure(args())).toMatch(/wrong answer: .* echoed with key/);
    change = (data) => data.subarray(1);
    expect(await generator.failure(args())).toMatch(/did not echo a request/);
  });
});
