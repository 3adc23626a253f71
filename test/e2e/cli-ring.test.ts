// `rondo ring` as a process: the picture, the SVG file, JSON, and how it ends.

import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Ring } from '../../ts/engine/ring.js';
import { DIST, temporaryFolder } from '../unit/log-files.js';

const MAIN = join(DIST, 'node/main.js');

function rondo(...words: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [MAIN, 'ring', ...words], {
    encoding: 'utf8',
  });
  return { status, stdout, stderr };
}

describe('rondo ring', () => {
  it('draws who has which partition', () => {
    const { status, stdout } = rondo('a', 'b=2', 'c', '--key', 'plan/1');
    const ring = new Ring([{ name: 'a' }, { name: 'b', weight: 2 }, { name: 'c' }], 64);
    expect(status).toBe(0);
    for (const [member, load] of ring.loads().entries()) {
      const line = new RegExp(`^${'ABC'[member]}  ${ring.names[member]} +${load} `, 'm');
      expect(stdout).toMatch(line);
    }
    const circle = stdout
      .split('\n')
      .slice(0, 17)
      .join('')
      .replace(/[^ABC]/g, '');
    // Every run of partitions is wide enough to show on the circle.
    expect(new Set(circle)).toEqual(new Set('ABC'));
    expect(stdout).toContain('64 partitions');
    const owner = ring.names[ring.lookup(new TextEncoder().encode('plan/1'))];
    expect(stdout).toContain(`plan/1 is at ${owner}\n`);
  });

  it.each(['ts', 'auto'])('says the same as JSON, with the library %s', (engine) => {
    const { status, stdout } = rondo('a', 'b', '--json', '--partitions', '16', '--engine', engine);
    const ring = new Ring([{ name: 'a' }, { name: 'b' }], 16);
    expect(status).toBe(0);
    const found = JSON.parse(stdout) as { owners: string[]; members: unknown[] };
    expect(found.owners).toEqual(Array.from(ring.owners, (owner) => ring.names[owner]));
    const [a, b] = ring.loads();
    expect(found.members).toEqual([
      { name: 'a', partitions: a, capacity: 10 },
      { name: 'b', partitions: b, capacity: 10 },
    ]);
  });

  it('writes a picture', () => {
    const file = join(temporaryFolder(), 'ring.svg');
    expect(rondo('<a>', 'b', '--svg', file).status).toBe(0);
    const svg = readFileSync(file, 'utf8');
    expect(svg).toContain('&lt;a>');
    expect(svg).not.toContain('<a>');
    const ring = new Ring([{ name: '<a>' }, { name: 'b' }], 64);
    const changes = ring.owners.filter((owner, index) => owner !== ring.owners[index - 1]).length;
    expect(svg.match(/<path /g)).toHaveLength(changes);
  });

  it('simulates members that come and go', () => {
    const words = ['simulate', '--members', '10', '--add', '2', '--seeds', '5', '--json'];
    const { status, stdout } = rondo(...words);
    expect(status).toBe(0);
    const [found] = JSON.parse(stdout) as { moved: number; needed: number; peakMax: number }[];
    expect(found?.needed).toBeCloseTo(2 / 12);
    expect(found?.moved).toBeGreaterThan(0.05);
    expect(found?.moved).toBeLessThan(0.4);
    expect(found?.peakMax).toBeLessThanOrEqual(Math.ceil((1.25 * 64) / 12) / (64 / 12));
    const both = rondo('simulate', '--seeds', '3').stdout;
    expect(both).toContain('10 -> 11 members');
    expect(both).toContain('10 -> 9 members');
  });

  it.each([
    [['a', 'a'], 'RING_DUPLICATE'],
    [['a', '--partitions', '48'], 'RING_PARTITIONS'],
    [['a=0'], 'RING_MEMBER_INVALID'],
    [['simulate', '--members', '2', '--remove', '2'], 'RING_EMPTY'],
  ])('refuses %j with %s', (words, code) => {
    const { status, stderr } = rondo(...words);
    expect(status).toBe(2);
    expect(stderr).toContain(`[${code}]`);
  });
});
