// The input of the demo: the README files of the installed packages, and what is a word in them.

import { readdirSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

const README = /^readme(\.(md|markdown|txt))?$/i;

/** Paths of the README files of the packages below `modules`, relative to it, in order. */
export function readmePaths(modules: string): string[] {
  const packages = readdirSync(modules, { withFileTypes: true }).flatMap(({ name }) => {
    if (name.startsWith('.')) return [];
    return name.startsWith('@')
      ? readdirSync(join(modules, name)).map((it) => `${name}/${it}`)
      : [name];
  });
  const paths = packages.flatMap((name) =>
    readdirSync(join(modules, name), { withFileTypes: true })
      .filter((entry) => entry.isFile() && README.test(entry.name))
      .map((entry) => `${name}/${entry.name}`),
  );
  return paths.sort();
}

/** How often each word stands in a file. */
export async function countFile(modules: string, path: string): Promise<Map<string, number>> {
  return countWords(await readFile(join(modules, path), 'utf8'));
}

export function countWords(text: string): Map<string, number> {
  const counts = new Map<string, number>();
  for (const word of text.toLowerCase().match(/\p{L}[\p{L}\p{N}]*/gu) ?? []) {
    counts.set(word, (counts.get(word) ?? 0) + 1);
  }
  return counts;
}

/** Adds `more` to `counts`. */
export function addCounts(
  counts: Map<string, number>,
  more: Iterable<readonly [string, number]>,
): void {
  for (const [word, count] of more) counts.set(word, (counts.get(word) ?? 0) + count);
}

/** Words whose counts differ, with both; empty where the two are equal. */
export function differences(
  shared: ReadonlyMap<string, number>,
  plain: ReadonlyMap<string, number>,
): { word: string; shared: number; plain: number }[] {
  const words = new Set([...shared.keys(), ...plain.keys()]);
  return [...words]
    .map((word) => ({ word, shared: shared.get(word) ?? 0, plain: plain.get(word) ?? 0 }))
    .filter((it) => it.shared !== it.plain);
}
