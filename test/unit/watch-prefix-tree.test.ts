// The tree from prefixes and keys to watches, against a list that is searched from end to end.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PrefixTree } from '../../node/watch/prefix-tree.js';
import { freshSeed } from '../parity/random.js';

const SEED = freshSeed();

interface Item {
  readonly name: string;
}

function found(tree: PrefixTree<Item>, key: string): string[] {
  const bytes = Buffer.from(`<${key}>`, 'latin1');
  const items: Item[] = [];
  tree.match(bytes, 1, bytes.length - 1, items);
  return items.map(({ name }) => name).sort();
}

describe('a prefix tree', () => {
  it('finds prefixes on the way and the key at its end', () => {
    const tree = new PrefixTree<Item>();
    for (const prefix of ['', 'agent/', 'agent/1', 'agency', 'b']) {
      tree.add(prefix, true, { name: `${prefix}*` });
    }
    for (const key of ['agent/', 'agent/1', 'agent/11']) tree.add(key, false, { name: key });
    expect(found(tree, 'agent/1')).toEqual(['*', 'agent/*', 'agent/1', 'agent/1*']);
    expect(found(tree, 'agent/12')).toEqual(['*', 'agent/*', 'agent/1*']);
    expect(found(tree, 'agent')).toEqual(['*']);
    expect(found(tree, 'ag')).toEqual(['*']);
    expect(found(tree, '')).toEqual(['*']);
    expect(tree.size).toBe(8);
  });

  it('takes bytes of every value', () => {
    const tree = new PrefixTree<Item>();
    for (const byte of [0, 0x7f, 0x80, 0xff]) {
      tree.add(String.fromCharCode(byte, 65), true, { name: `${byte}` });
    }
    expect(found(tree, '\u0000AB')).toEqual(['0']);
    expect(found(tree, '\u00ffA')).toEqual(['255']);
    expect(found(tree, '\u0080B')).toEqual([]);
  });

  it('is empty again when all are gone, in whatever order they go', () => {
    const tree = new PrefixTree<Item>();
    const items = Array.from({ length: 1000 }, (_, index) => ({ name: `k/${index * 7}/x` }));
    for (const item of items) tree.add(item.name, false, item);
    expect(tree.countNodes()).toBeLessThan(2500);
    for (let at = 0; at < 1000; at++) {
      const item = items[(at * 373) % 1000]!;
      tree.remove(item.name, false, item);
    }
    expect([tree.size, tree.countNodes()]).toEqual([0, 1]);
    expect(found(tree, 'k/7/x')).toEqual([]);
  });

  it('costs the length of a key, not the number of watches', () => {
    const tree = new PrefixTree<Item>();
    for (let index = 0; index < 100_000; index++) {
      tree.add(`tenant/${index % 317}/agent/${index}/`, true, { name: `${index}` });
    }
    const key = Buffer.from('tenant/7/agent/324/state');
    const items: Item[] = [];
    const startedAt = performance.now();
    for (let round = 0; round < 20_000; round++) {
      items.length = 0;
      tree.match(key, 0, key.length, items);
    }
    const each = (performance.now() - startedAt) / 20_000;
    expect(items.map(({ name }) => name)).toEqual(['324']);
    // A look at every watch would take a hundred times as long.
    expect(each).toBeLessThan(0.05);
  });

  it(`does as a list does, RONDO_SEED=${SEED}`, () => {
    const key = fc
      .array(fc.constantFrom('a', 'b', '\u00ff'), { maxLength: 6 })
      .map((units) => units.join(''));
    const step = fc.record({ key, isPrefix: fc.boolean(), removes: fc.nat() });
    const steps = fc.array(step, { maxLength: 60 });
    const property = fc.property(steps, fc.array(key, { maxLength: 20 }), (changes, keys) => {
      const tree = new PrefixTree<Item>();
      const held: { key: string; isPrefix: boolean; item: Item }[] = [];
      const check = () => {
        for (const asked of keys) {
          const expected = held.filter(({ key, isPrefix }) =>
            isPrefix ? asked.startsWith(key) : asked === key,
          );
          expect(found(tree, asked)).toEqual(expected.map(({ item }) => item.name).sort());
        }
      };
      for (const [index, { key, isPrefix, removes }] of changes.entries()) {
        if (removes % 3 === 0 && held.length > 0) {
          const [gone] = held.splice(removes % held.length, 1);
          tree.remove(gone!.key, gone!.isPrefix, gone!.item);
        } else {
          const item = { name: `${index}` };
          held.push({ key, isPrefix, item });
          tree.add(key, isPrefix, item);
        }
        expect(tree.size).toBe(held.length);
        check();
      }
      for (const { key, isPrefix, item } of held.splice(0)) tree.remove(key, isPrefix, item);
      expect([tree.size, tree.countNodes()]).toEqual([0, 1]);
    });
    fc.assert(property, { seed: SEED, numRuns: 300 });
  });
});
