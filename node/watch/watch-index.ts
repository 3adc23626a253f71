// Which watches a record concerns: a prefix tree for each class of events.

import { CLASS_KEYS, CLASS_LOCKS, CLASS_SESSIONS } from '../../ts/wire/layout.js';
import { classOf, nameEnd } from './events.js';
import type { HistoryReader } from './history.js';
import { PrefixTree } from './prefix-tree.js';
import type { Watch } from './watch.js';

const CLASSES = [CLASS_KEYS, CLASS_LOCKS, CLASS_SESSIONS] as const;

export class WatchIndex {
  private readonly trees = new Map(CLASSES.map((one) => [one as number, new PrefixTree<Watch>()]));

  add(watch: Watch): void {
    for (const [ofClass, tree] of this.trees) {
      if ((watch.classes & ofClass) !== 0) tree.add(watch.key, watch.isPrefix, watch);
    }
  }

  remove(watch: Watch): void {
    for (const [ofClass, tree] of this.trees) {
      if ((watch.classes & ofClass) !== 0) tree.remove(watch.key, watch.isPrefix, watch);
    }
  }

  /** Adds to `found` the watches that asked for the reader's record. */
  match(record: HistoryReader, found: Watch[]): void {
    const tree = this.trees.get(classOf(record.kind));
    if (tree === undefined || tree.size === 0) return;
    tree.match(record.bytes, record.keyAt, nameEnd(record), found);
  }
}
