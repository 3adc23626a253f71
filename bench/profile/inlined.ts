// The native engine is compiled into few large functions. Its line tables tell which source functions
// an address was inlined from; binutils' addr2line reads them.

import { spawnSync } from 'node:child_process';
import { closeSync, openSync, readSync } from 'node:fs';
import type { StackFrame } from './perf.js';

/** Innermost first. */
export interface InlinedFrame {
  readonly symbol: string;
  readonly source: string;
}

const PT_LOAD = 1;
const PROGRAM_HEADER_BYTES = 56;
const OUTPUT_BYTES_MAX = 256 * 1024 * 1024;

/** By address: within the file, or as the linker gave it. Empty where addr2line is not installed. */
export function inlinedFrames(
  file: string,
  addresses: readonly number[],
  kind: 'offset' | 'virtual',
): Map<number, InlinedFrame[]> {
  const byAddress = new Map<number, InlinedFrame[]>();
  if (addresses.length === 0) return byAddress;
  const toVirtual = kind === 'offset' ? virtualAddresses(file) : (it: number) => it;
  const virtual = addresses.map((address) => `0x${toVirtual(address).toString(16)}`);
  const { stdout, error, status } = spawnSync('addr2line', ['-a', '-i', '-f', '-C', '-e', file], {
    input: `${virtual.join('\n')}\n`,
    encoding: 'utf8',
    maxBuffer: OUTPUT_BYTES_MAX,
  });
  if (error !== undefined || status !== 0) return byAddress;
  const blocks = stdout.split(/^0x[0-9a-f]+\n/m).slice(1);
  for (const [index, block] of blocks.entries()) {
    const lines = block.trimEnd().split('\n');
    const frames: InlinedFrame[] = [];
    for (let at = 0; at + 1 < lines.length; at += 2) {
      const source = (lines[at + 1] ?? '')
        .replace(/ \(discriminator \d+\)$/, '')
        .replace(/:[\d?]+$/, '');
      frames.push({ symbol: lines[at] ?? '', source });
    }
    byAddress.set(addresses[index] as number, frames);
  }
  return byAddress;
}

/** Replaces each frame of the library by the functions that were inlined there. */
export function expandStack(
  stack: readonly StackFrame[],
  library: string,
  inlined: ReadonlyMap<number, readonly InlinedFrame[]>,
): StackFrame[] {
  return stack.flatMap((frame) => {
    const frames = frame.library === library ? inlined.get(frame.address) : undefined;
    if (frames === undefined || frames.length === 0) return [frame];
    return frames.map(({ symbol, source }) => ({
      ...frame,
      symbol: symbol === '??' ? frame.symbol : symbol,
      source,
    }));
  });
}

/** perf tells offsets in the file, addr2line takes virtual addresses: the program headers tell both. */
function virtualAddresses(file: string): (offset: number) => number {
  const descriptor = openSync(file, 'r');
  try {
    const header = Buffer.alloc(64);
    readSync(descriptor, header, 0, header.length, 0);
    const count = header.readUInt16LE(56);
    const table = Buffer.alloc(count * PROGRAM_HEADER_BYTES);
    readSync(descriptor, table, 0, table.length, Number(header.readBigUInt64LE(32)));
    const segments = Array.from({ length: count }, (_, index) => {
      const at = index * PROGRAM_HEADER_BYTES;
      return {
        type: table.readUInt32LE(at),
        offset: Number(table.readBigUInt64LE(at + 8)),
        address: Number(table.readBigUInt64LE(at + 16)),
        bytes: Number(table.readBigUInt64LE(at + 32)),
      };
    }).filter(({ type }) => type === PT_LOAD);
    return (offset) => {
      const inside = segments.find((it) => offset >= it.offset && offset < it.offset + it.bytes);
      return inside === undefined ? offset : offset - inside.offset + inside.address;
    };
  } finally {
    closeSync(descriptor);
  }
}
