// The benchmark against peers as a process: every row runs, a peer that answers wrongly or dies gives
// no figures, and nothing is left behind whatever happens.

import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findContenders } from '../../bench/peers/contenders.js';
import { etcd } from '../../bench/peers/etcd.js';
import { SIZES_QUICK, type Side } from '../../bench/peers/measurements.js';
import { nats } from '../../bench/peers/nats.js';
import { Processes } from '../../bench/peers/processes.js';
import { redis, redisAlways } from '../../bench/peers/redis.js';
import type { Row } from '../../bench/peers/results.js';
import { rowsFor } from '../../bench/peers/rows.js';
import { checkXml } from '../unit/bench-xml.js';
import { buildGenerator, linkTools, runPeers, writeFalseRedis } from './peers-fixture.js';

/** Milliseconds to build the load generator in, should nobody have done so yet. */
const BUILD_TIMEOUT_MS = 600_000;
const RUN_TIMEOUT_MS = 120_000;

const isLinux = process.platform === 'linux';
const absence = isLinux ? buildGenerator() : 'processes are looked for in /proc, which is Linux';
const isRequired = process.env.RONDO_REQUIRE_NATIVE === '1';

let folder: string;
const fresh = (name: string): string => {
  const path = join(folder, name);
  mkdirSync(path);
  return path;
};

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'rondo-peers-test-'));
}, BUILD_TIMEOUT_MS);
afterAll(() => rmSync(folder, { recursive: true }));

it.runIf(absence !== undefined && isRequired)('has a load generator', () => {
  expect(absence).toBeUndefined();
});

describe.skipIf(absence !== undefined)(`bench:peers${absence ? ` (${absence})` : ''}`, () => {
  const contenders = findContenders();

  it('runs every row, writes the results, and leaves nothing behind', {
    timeout: RUN_TIMEOUT_MS,
  }, async () => {
    const out = join(folder, 'quick');
    const run = runPeers(['--quick', '--out', out]);
    const { code, stdout, stderr } = await run.ended;
    expect(stderr).not.toContain('bench:peers:');
    expect(code).toBe(0);
    expect(run.leftovers()).toEqual([]);

    expect(readdirSync(out).sort()).toEqual(['peers.json', 'peers.md', 'peers.svg']);
    const read = (name: string): string => readFileSync(join(out, name), 'utf8');
    const { schema, rows } = JSON.parse(read('peers.json')) as { schema: number; rows: Row[] };
    expect(schema).toBe(1);
    const specs = rowsFor(SIZES_QUICK);
    expect(rows.map(({ name }) => name)).toEqual(specs.map(({ name }) => name));
    for (const [index, row] of rows.entries()) {
      const spec = specs[index];
      const isThere = [spec?.rondo, spec?.peer].every(
        (side) => contenders.get(side as Side)?.found,
      );
      const expected = spec?.source === undefined ? 'not yet' : isThere ? 'ok' : 'absent';
      expect({ name: row.name, status: row.status }).toEqual({ name: row.name, status: expected });
      if (expected !== 'ok') continue;
      // So few keys fit into memory that a server has from the start, so that memory may not grow.
      if (row.unit !== 'bytes/key') expect(row.ratio).toBeGreaterThan(0);
    }
    expect(checkXml(read('peers.svg'))).toBeUndefined();
    expect(read('peers.md')).toContain('| kv.get.128');
    expect(stdout).toContain('Its figures mean nothing.');
  });

  it.each([
    { fault: 'wrong', says: /user:\d{12}|wrong|differ/i },
    { fault: 'dies', says: /redis-server ended \(exit code 7\):\nout of patience/ },
  ] as const)(
    'fails without a figure when Redis is $fault',
    { timeout: RUN_TIMEOUT_MS },
    async ({ fault, says }) => {
      const path = fresh(`redis-${fault}`);
      writeFalseRedis(path, fault);
      const out = join(folder, `out-${fault}`);
      const run = runPeers(['--quick', '--rows', 'kv.get.16,kv.put.1', '--out', out], {
        PATH: `${path}${delimiter}${process.env.PATH ?? ''}`,
      });
      const { code, stdout, stderr } = await run.ended;
      expect(code).toBe(1);
      expect(stderr).toMatch(/^bench:peers: /m);
      expect(stderr).toMatch(says);
      expect(stdout).toBe('');
      expect(readdirSync(out)).toEqual([]);
      expect(run.leftovers()).toEqual([]);
    },
  );

  it.each(['SIGINT', 'SIGTERM'] as const)(
    'leaves nothing behind on %s',
    { timeout: RUN_TIMEOUT_MS },
    async (signal) => {
      const out = join(folder, `out-${signal}`);
      const scratch = fresh(`scratch-${signal}`);
      const args = ['--rows', 'client.get.1.,echo.get.1', '--seconds', '30', '--out', out];
      const run = runPeers(args, { TMPDIR: scratch });
      await run.saying(/^kv\.get\.1;/m);
      expect(run.leftovers().length).toBeGreaterThan(1);
      run.child.kill(signal);
      const { code, stdout } = await run.ended;
      expect(code).toBe(signal === 'SIGINT' ? 130 : 143);
      expect(run.leftovers()).toEqual([]);
      expect(stdout).toBe('');
      expect(readdirSync(out)).toEqual([]);
      expect(readdirSync(scratch)).toEqual([]);
    },
  );

  it('names an absent peer with the command that installs it', {
    timeout: RUN_TIMEOUT_MS,
  }, async () => {
    const path = fresh('no-peers');
    linkTools(path);
    const out = join(folder, 'out-absent');
    const args = [
      '--quick',
      '--rows',
      'kv.get.1,kv.memory,client.put.100.,transactions.etcd',
      '--out',
      out,
    ];
    const { code, stderr } = await runPeers(args, { PATH: path }).ended;
    expect(code).toBe(0);
    expect(stderr).toContain('Redis is absent; to install it: apt-get install redis-server');
    const { rows } = JSON.parse(readFileSync(join(out, 'peers.json'), 'utf8')) as { rows: Row[] };
    const statusOf = Object.fromEntries(rows.map(({ name, status }) => [name, status]));
    expect(statusOf).toMatchObject({
      'kv.get.1': 'absent',
      'kv.memory.large': 'absent',
      'client.put.100.ioredis': 'absent',
      'engine.kv.get.1': 'ok',
      'transactions.etcd': 'not yet',
    });
  });

  it('looks at the results folder before it starts anything', async () => {
    const file = join(folder, 'a-file');
    writeFileSync(file, '');
    const run = runPeers(['--quick', '--out', join(file, 'results')]);
    const { code, stderr } = await run.ended;
    expect(code).toBe(1);
    expect(stderr).toMatch(/^bench:peers: the results folder cannot be written: ENOTDIR/);
    expect(stderr.split('\n')).toHaveLength(2);
  });

  it.each([
    { args: ['--rounds', '0'], code: 2, says: 'A whole number of 1 to 100' },
    { args: ['--seconds', 'long'], code: 2, says: 'A number of 0.02 to 600' },
    { args: ['--bogus'], code: 2, says: '--bogus' },
    { args: ['--rows', 'nothing'], code: 1, says: 'no row matches nothing; there are kv.get.1,' },
  ])('refuses $args', async ({ args, code, says }) => {
    const ended = await runPeers(args).ended;
    expect(ended.code).toBe(code);
    expect(ended.stderr).toContain(says);
  });
});

describe.each([redis, redisAlways, etcd, nats])('$name', (peer) => {
  const found = peer.find();
  const reason = found === undefined ? ` (absent; ${peer.install})` : '';

  it.skipIf(found === undefined)(`starts, serves and ends${reason}`, async () => {
    const processes = new Processes();
    try {
      const context = { processes, folder: mkdtempSync(join(folder, 'peer-')), core: undefined };
      const server = await peer.start(found!, context);
      expect(server.address).toMatch(/^127\.0\.0\.1:\d+$/);
      const { process: child } = server;
      if (child === undefined) throw new Error('nothing was started');
      const { pid } = child;
      expect(processes.deaths()).toEqual([]);
      await processes.stop(child);
      expect(() => process.kill(pid, 0)).toThrow('ESRCH');
    } finally {
      await processes.close();
    }
  });
});
