// The data commands as a person or a script uses them: output, exit codes, and what they say when
// something is wrong.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import type { Readable } from 'node:stream';
import { text as readText } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { formatDuration, parseDuration } from '../../node/cli/data-duration.js';
import { escapeControls } from '../../node/cli/data-format.js';
import { DIST, type Run, run, runUnread, startTestNode, type TestNode } from './client-node.js';

/** Nothing listens there: port 9 of the loopback is the discard service. */
const NOWHERE = 'ws://127.0.0.1:9';

let node: TestNode;
let folder: string;
beforeAll(async () => {
  node = await startTestNode();
  folder = mkdtempSync(`${tmpdir()}/rondo-cli-`);
});
afterAll(async () => {
  await node.stop();
  rmSync(folder, { recursive: true });
});

function rondo(arguments_: string[], input = ''): Promise<Run> {
  return run('node/main.js', arguments_, { input, env: { RONDO_URL: node.url } });
}

describe('the data commands', () => {
  it('put and get a value from argument, standard input and file, byte for byte', async () => {
    expect(await rondo(['put', 'a', 'grüße'])).toMatchObject({
      exitCode: 0,
      stdout: 'revision 1\n',
    });
    expect(await rondo(['get', 'a'])).toEqual({ exitCode: 0, stdout: 'grüße', stderr: '' });
    await rondo(['put', 'b', '-'], 'from\nstdin');
    expect((await rondo(['get', 'b'])).stdout).toBe('from\nstdin');
    writeFileSync(`${folder}/value`, Uint8Array.of(0, 255, 10));
    expect((await rondo(['put', 'c', '--file', `${folder}/value`])).exitCode).toBe(0);
    const { stdout } = await rondo(['get', 'c', '--json']);
    expect(JSON.parse(stdout)).toMatchObject({ key: 'c', valueBase64: 'AP8K', ttlMs: null });
  });

  it('hold to conditions and times to live', async () => {
    const made = await rondo(['put', 'cas', '1', '--if-absent', '--ttl', '1h', '--json']);
    const { revision } = JSON.parse(made.stdout) as { revision: number };
    const again = await rondo(['put', 'cas', '2', '--if-absent', '--json']);
    expect(again).toMatchObject({ exitCode: 1, stdout: '' });
    expect(JSON.parse(again.stderr)).toMatchObject({ event: 'error', code: 'ALREADY_EXISTS' });
    const kept = await rondo(['put', 'cas', '2', '--if-revision', String(revision), '--keep-ttl']);
    expect(kept.exitCode).toBe(0);
    const entry: unknown = JSON.parse((await rondo(['get', 'cas', '--json'])).stdout);
    expect(entry).toMatchObject({ value: '2', ttlMs: expect.any(Number) });
    expect((await rondo(['delete', 'cas', '--if-revision', String(revision)])).exitCode).toBe(1);
    expect(await rondo(['delete', 'cas'])).toMatchObject({ exitCode: 0, stdout: 'deleted\n' });
  });

  it('end quietly where the reader of a pipe has read enough', async () => {
    // An unhandled EPIPE ended `rondo get … | head` with a stack trace.
    writeFileSync(`${folder}/large`, new Uint8Array(1_000_000));
    await rondo(['put', 'large', '--file', `${folder}/large`]);
    expect(await runUnread(['get', 'large'], node.url)).toEqual({ exitCode: 0, stderr: '' });
  });

  it('exit with 1 where a key does not exist', async () => {
    const absent = await rondo(['get', 'absent']);
    expect(absent).toMatchObject({ exitCode: 1, stdout: '' });
    expect(absent.stderr).toBe('rondo: "absent" does not exist [NOT_FOUND]\n');
    expect(await rondo(['delete', 'absent'])).toMatchObject({ exitCode: 1, stdout: '' });
  });

  it('scan and increment', async () => {
    await rondo(['put', 's/1', 'tab\there']);
    await rondo(['put', 's/2', '{"a":1}']);
    expect((await rondo(['scan', 's/'])).stdout).toBe('s/1\ttab\\there\ns/2\t{"a":1}\n');
    expect((await rondo(['scan', 's/', '--keys-only', '--limit', '1'])).stdout).toBe('s/1\n');
    const lines = (await rondo(['scan', 's/', '--json'])).stdout.trim().split('\n');
    expect(lines.map((line) => JSON.parse(line) as unknown)).toEqual([
      { key: 's/1', value: 'tab\there', revision: expect.any(Number), ttlMs: null },
      { key: 's/2', value: '{"a":1}', revision: expect.any(Number), ttlMs: null },
    ]);
    expect((await rondo(['increment', 'hits'])).stdout).toBe('1\n');
    expect((await rondo(['increment', 'hits', '--json', '--', '-5'])).stdout).toBe(
      '{"key":"hits","value":"-4"}\n',
    );
    expect(await rondo(['increment', 's/1'])).toMatchObject({ exitCode: 1 });
  });

  it('tell the status of the node', async () => {
    const { stdout } = await rondo(['status']);
    expect(stdout).toMatch(/^engine +(native|ts) \(.+\)$/m);
    expect(stdout).toMatch(/^round trip +[\d.]+ ms, median of 25 reads$/m);
    const facts: unknown = JSON.parse((await rondo(['status', '--json'])).stdout);
    expect(facts).toMatchObject({ url: node.url, durability: 'none', partitions: 64 });
    expect(facts).toHaveProperty('roundTripMs', expect.any(Number));
    // The key that is read to time an answer was read as JSON, and failed where it was none.
    await rondo(['put', 'rondo/status/probe', 'no JSON']);
    expect((await rondo(['status'])).exitCode).toBe(0);
    await rondo(['delete', 'rondo/status/probe']);
  });

  it('see a wrong command line without a node', async () => {
    // It was told only after the connection, and where there was none, not at all.
    for (const wrong of [
      ['put', 'k'],
      ['increment', 'k', 'x'],
    ]) {
      const { exitCode, stderr } = await run('node/main.js', [...wrong, '--url', NOWHERE]);
      expect(exitCode).toBe(2);
      expect(stderr).toContain('[USAGE]');
    }
  });

  it.skipIf(!existsSync('/dev/full'))('say that the output cannot be written', async () => {
    // It ended with a stack trace.
    await rondo(['put', 'k', 'v']);
    const full = openSync('/dev/full', 'w');
    const child = spawn(process.execPath, [`${DIST}node/main.js`, 'get', 'k', '--url', node.url], {
      stdio: ['ignore', full, 'pipe'],
    });
    closeSync(full);
    const stderr = await readText(child.stderr as Readable);
    expect(stderr).toMatch(/^rondo: cannot write: .*ENOSPC.* \[OUTPUT_FAILED\]\n$/);
    expect(child.exitCode ?? (await once(child, 'exit'))[0]).toBe(1);
  });

  it('exit with 2 where they are used wrongly', async () => {
    for (const wrong of [
      ['get'],
      ['put', 'k'],
      ['put', 'k', 'v', '--file', 'x'],
      ['put', 'k', '--file', `${folder}/absent`],
      ['put', 'k', 'v', '--ttl', '5'],
      ['put', 'k', 'v', '--ttl', '5s', '--keep-ttl'],
      ['put', 'k', 'v', '--if-absent', '--if-revision', '1'],
      ['increment', 'k', 'x'],
      ['scan', '--limit', '0'],
      ['get', 'x'.repeat(1025)],
      ['get', 'k', '--url', 'http://127.0.0.1'],
      ['get', 'k', '--token-file', `${folder}/absent`],
    ]) {
      const { exitCode, stdout, stderr } = await rondo(wrong);
      expect([wrong, exitCode, stdout]).toEqual([wrong, 2, '']);
      expect(stderr).not.toContain('    at ');
    }
  });

  it('say what to do where no node runs, and where a token is needed', async () => {
    const nobody = await run('node/main.js', ['get', 'k', '--url', NOWHERE]);
    expect(nobody.exitCode).toBe(1);
    expect(nobody.stderr).toMatch(/no node answers.*npm start.*rondo serve/);

    writeFileSync(`${folder}/tokens`, '# of the test\nsecret-token\n', { mode: 0o600 });
    const guarded = await startTestNode('--token-file', `${folder}/tokens`);
    try {
      const refused = await run('node/main.js', ['get', 'k', '--url', guarded.url, '--json']);
      expect(refused.exitCode).toBe(1);
      expect(JSON.parse(refused.stderr)).toMatchObject({ code: 'UNAUTHENTICATED' });
      for (const [options, env] of [
        [['--token-file', `${folder}/tokens`], {}],
        [[], { RONDO_TOKEN: 'secret-token' }],
      ] as const) {
        const status = ['status', '--url', guarded.url, ...options];
        expect((await run('node/main.js', status, { env })).exitCode).toBe(0);
      }
    } finally {
      await guarded.stop();
    }
  });

  it('explain themselves with examples', async () => {
    for (const command of ['get', 'put', 'delete', 'scan', 'increment', 'status']) {
      const { exitCode, stdout } = await rondo([command, '--help']);
      expect(exitCode).toBe(0);
      expect(stdout).toContain(`$ rondo ${command}`);
    }
  });
});

describe('durations', () => {
  it('are read with their unit and shown in the largest', () => {
    expect(['500ms', '1.5s', '2m', '1h', '1d'].map(parseDuration)).toEqual([
      500, 1500, 120_000, 3_600_000, 86_400_000,
    ]);
    for (const wrong of ['5', '0s', '-1s', 's', '1w', '']) {
      expect(() => parseDuration(wrong)).toThrow(/a number and a unit/);
    }
    expect([0.4, 250, 31_000, 7_500_000, 90_000_000].map(formatDuration)).toEqual([
      '0.40 ms',
      '250 ms',
      '31 s',
      '2 h 5 min',
      '1 d 1 h',
    ]);
  });

  it('and values are shown on one line', () => {
    expect(escapeControls('a\\b\n\t\u001b[31m')).toBe('a\\\\b\\n\\t\\u001b[31m');
  });
});
