// What a worker counts, as doubles in its block of shared memory: counters, gauges, and rows of them such as the
// buckets of a histogram. Each block is written by its worker alone, by plain stores, so that counting costs
// what it costs without sharing; whoever wants the figures of all adds them up.
//
// MEMORY ORDER. None between figures: a sum may have one that was counted behind another without it. A single figure is
// never torn: it is an aligned double, which 64-bit machines store at once, and `Atomics` loads its 64 bits at
// once too. A plain load could be taken out of a loop by the compiler, and would then never see a change.

/** A figure, or several side by side, in every block. */
export interface FigureRow {
  readonly start: number;
  readonly count: number;
}

/** Gives figures their places: in the same order in every thread, hence the same places. */
export class FigureLayout {
  /** Figures of a block. */
  length = 0;

  row(count = 1): FigureRow {
    const start = this.length;
    this.length += count;
    return { start, count };
  }
}

/** The figures of a row, to be written by the worker of the block. */
export function rowOf(block: SharedArrayBuffer, { start, count }: FigureRow): Float64Array {
  return new Float64Array(block, start * Float64Array.BYTES_PER_ELEMENT, count);
}

/** Reads the blocks of all workers. */
export class FigureReader {
  private readonly blocks: readonly BigInt64Array[];
  private readonly bits = new BigInt64Array(1);
  private readonly value = new Float64Array(this.bits.buffer);

  constructor(blocks: readonly SharedArrayBuffer[]) {
    this.blocks = blocks.map((block) => new BigInt64Array(block));
  }

  /** One figure of one worker. */
  of(worker: number, index: number): number {
    this.bits[0] = Atomics.load(this.blocks[worker]!, index);
    return this.value[0]!;
  }

  /** A figure, summed over the workers. */
  sumOf(index: number): number {
    let sum = 0;
    for (let worker = 0; worker < this.blocks.length; worker++) sum += this.of(worker, index);
    return sum;
  }

  /** Each figure of a row, summed over the workers. */
  sumsOf({ start, count }: FigureRow): Float64Array {
    return Float64Array.from({ length: count }, (_, at) => this.sumOf(start + at));
  }
}
