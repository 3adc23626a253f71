// The demo, small, with each engine; and the canary: agents that read and write without comparing
// lose updates, and the demo's comparison sees it.

import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, expect, it } from 'vitest';
import { countWords, differences } from '../../bench/demo/corpus.js';
import { type Bucket, merge, readCounts } from '../../bench/demo/shared.js';
import { connect, type Kv } from '../../ts/client/index.js';
import { DIST, nativeAbsence, run, startTestNode } from './client-node.js';

const DEMO = 'bench/demo/main.js';
const noNative = nativeAbsence();

describe('the demo', () => {
  for (const engine of ['ts', 'native']) {
    const isSkipped =
      engine === 'native' && noNative !== undefined && process.env.RONDO_REQUIRE_NATIVE !== '1';
    it.skipIf(isSkipped)(`counts the same as one process, engine ${engine}`, async () => {
      const options = ['--agents', '3', '--files', '12', '--engine', engine, '--json'];
      const { exitCode, stdout, stderr } = await run(DEMO, options);
      expect(stderr).toBe('');
      expect(exitCode).toBe(0);
      const outcome: unknown = JSON.parse(stdout);
      expect(outcome).toMatchObject({ engine, agents: 3, files: 12, differences: 0 });
      expect(outcome).toHaveProperty('words', expect.any(Number));
    });
  }

  it('counts right where an agent is killed halfway', async () => {
    // The demo failed; and had it gone on, the totals of a file whose agent had died between two of
    // its writes would have been missing, for which the others would have waited for ever.
    const options = ['--agents', '3', '--files', '60', '--engine', 'ts'];
    const demo = spawn(process.execPath, [DIST + DEMO, ...options]);
    let stdout = '';
    let stderr = '';
    demo.stdout.on('data', (chunk: Buffer) => {
      stdout += chunk.toString();
    });
    demo.stderr.on('data', (chunk: Buffer) => {
      if (stderr === '') {
        const processes = execFileSync('ps', ['-A', '-o', 'pid=,ppid=,args=']).toString();
        const [agent] = processes.split('\n').filter((line) => {
          const [, parent, ...command] = line.trim().split(/\s+/);
          return Number(parent) === demo.pid && command.some((it) => it.endsWith('demo/agent.js'));
        });
        process.kill(Number(agent?.trim().split(/\s+/)[0]), 'SIGKILL');
      }
      stderr += chunk.toString();
    });
    const [exitCode] = (await once(demo, 'close')) as [number | null];
    expect(stderr).toMatch(/agent \d was ended by SIGKILL; the others go on/);
    expect(stdout).toContain('3 agents (1 killed)');
    expect(stdout).toContain('equal: no update was lost or doubled');
    expect(exitCode).toBe(0);
  }, 90_000);

  it('says what is wrong with its options', async () => {
    const { exitCode, stderr } = await run(DEMO, ['--agents', 'many']);
    expect(exitCode).toBe(2);
    expect(stderr).toContain('--agents');
  });
});

describe('the comparison of the demo', () => {
  const texts = Array.from({ length: 12 }, (_, index) => `alpha beta gamma constructor w${index}`);
  const plain = countWords(texts.join(' '));

  const shared = async (kvOf: (kv: Kv<Bucket>) => Pick<Kv<Bucket>, 'update'>) => {
    const node = await startTestNode('--engine', 'ts');
    try {
      const clients = texts.map(() => connect({ url: node.url }));
      await Promise.all(
        clients.map(async (client, file) => {
          await merge(kvOf(client.kv.as<Bucket>()), file, countWords(texts[file] ?? ''));
        }),
      );
      const counts = await readCounts(clients[0] as (typeof clients)[0]);
      await Promise.all(clients.map((client) => client.close()));
      return counts;
    } finally {
      await node.stop();
    }
  };

  it('finds nothing where agents compare and set', async () => {
    expect(differences(await shared((kv) => kv), plain)).toEqual([]);
  });

  it('finds the updates that agents lose who do not (canary)', async () => {
    const careless = (kv: Kv<Bucket>): Pick<Kv<Bucket>, 'update'> => ({
      update: async (key, change) => {
        const entry = await kv.entry(key);
        const next = await change(entry?.value as never, entry as never);
        if (next === undefined || typeof next === 'symbol') throw new Error('not in this test');
        const { revision } = await kv.put(key, next);
        return { value: next, revision, changed: true };
      },
    });
    const lost = differences(await shared(careless), plain);
    expect(lost.length).toBeGreaterThan(0);
    for (const { shared: counted, plain: expected } of lost) expect(counted).toBeLessThan(expected);
  });
});
