// Reads what `perf script` prints: samples with their stacks, leaf first.

import type { Frame } from './groups.js';

export interface StackFrame extends Frame {
  /** Within the file of the library. */
  readonly address: number;
}

export interface PerfSample {
  readonly thread: number;
  readonly stack: readonly StackFrame[];
}

/** `perf script -F tid,ip,sym,symoff,dso`: a line with the thread, lines of frames, an empty line. */
export function parsePerfScript(text: string): PerfSample[] {
  const samples: PerfSample[] = [];
  for (const block of text.split(/\n\s*\n/)) {
    const lines = block.split('\n').filter((line) => line.trim() !== '');
    const thread = /^\s*(\d+)\s*:?\s*$/.exec(lines[0] ?? '')?.[1];
    if (thread === undefined) continue;
    const stack = lines.slice(1).flatMap(parseFrame);
    if (stack.length > 0) samples.push({ thread: Number(thread), stack });
  }
  return samples;
}

function parseFrame(line: string): StackFrame[] {
  const found = /^\s*([0-9a-f]+) (.*?)(?:\+0x[0-9a-f]+)? \(([^()]*(?:\([^()]*\))?[^()]*)\)$/.exec(
    line,
  );
  if (!found) return [];
  const [, address = '0', symbol = '', library = ''] = found;
  return [{ address: Number.parseInt(address, 16), symbol: tidy(symbol), library }];
}

/** Compiled JavaScript is named with the whole URL of its file: the last folders are enough. */
function tidy(symbol: string): string {
  return symbol.replace(/file:\/\/\S*\/dist\//, '').replace(/(\.js):(\d+):\d+$/, '$1:$2');
}
