// A queue over an array. Taking from the front moves a mark; the array is cut when half of it is taken.

export class Fifo<T> {
  private readonly items: T[] = [];
  private head = 0;

  get length(): number {
    return this.items.length - this.head;
  }

  /** The item at a place counted from the front; undefined beyond the end. */
  at(index: number): T | undefined {
    return this.items[this.head + index];
  }

  get last(): T | undefined {
    return this.at(this.length - 1);
  }

  push(item: T): void {
    this.items.push(item);
  }

  shift(): T | undefined {
    const item = this.at(0);
    if (item === undefined) return undefined;
    this.head++;
    if (this.head * 2 > this.items.length) {
      this.items.splice(0, this.head);
      this.head = 0;
    }
    return item;
  }
}
