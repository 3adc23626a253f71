// The configurations that a search has been in: the set of operations placed so far and the state
// that they led to. Whatever can follow depends on nothing else, so none is searched twice (Lowe).

/** A set of the numbers below `size`, with a hash that follows each change. */
export class PlacedSet {
  readonly words: Uint32Array;
  hash = 0;

  constructor(size: number) {
    this.words = new Uint32Array((size + 31) >>> 5);
  }

  /** Adds a number that is not in the set, or removes one that is. */
  flip(index: number): void {
    const word = index >>> 5;
    this.words[word] = (this.words[word] as number) ^ (1 << (index & 31));
    this.hash ^= mixed(index + 1);
  }
}

interface Configuration {
  readonly words: Uint32Array;
  readonly state: string;
}

export class Configurations {
  private readonly byHash = new Map<number, Configuration[]>();

  /** Whether the configuration is new; it is kept. */
  add(placed: PlacedSet, state: string): boolean {
    const { words, hash } = placed;
    const alike = this.byHash.get(hash);
    if (alike === undefined) {
      this.byHash.set(hash, [{ words: words.slice(), state }]);
      return true;
    }
    if (alike.some((other) => other.state === state && areEqual(other.words, words))) return false;
    alike.push({ words: words.slice(), state });
    return true;
  }
}

function areEqual(left: Uint32Array, right: Uint32Array): boolean {
  for (let index = 0; index < left.length; index++) {
    if (left[index] !== right[index]) return false;
  }
  return true;
}

function mixed(number: number): number {
  let hash = Math.imul(number, 0x9e3779b1);
  hash = Math.imul(hash ^ (hash >>> 15), 0x85ebca6b);
  return hash ^ (hash >>> 13);
}
