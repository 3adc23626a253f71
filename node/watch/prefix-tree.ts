// A radix tree over the bytes of keys: from prefixes and whole keys to those who asked for them. Finding
// whom a key concerns costs its length, however many others there are.
//
// Keys are kept as strings of one unit a byte ("latin1"), which take a fraction of a typed array's memory.

/** One item, or several: most places have one, and a set costs more than the rest of a node. */
type Items<T> = T | Set<T> | undefined;

class Node<T> {
  /** Ascending by the first byte of their label. */
  children: Node<T>[] | undefined;
  /** Whose prefix ends here. */
  prefixes: Items<T>;
  /** Whose key ends here. */
  keys: Items<T>;

  /** `label`: the bytes from the parent to here; empty at the root only. */
  constructor(public label: string) {}

  get isEmpty(): boolean {
    return this.prefixes === undefined && this.keys === undefined && this.children === undefined;
  }

  /** Place of the child that begins with this byte, or minus the place where it belongs, minus 1. */
  find(byte: number): number {
    const { children } = this;
    if (children === undefined) return -1;
    let low = 0;
    let high = children.length - 1;
    while (low <= high) {
      const middle = (low + high) >> 1;
      const first = (children[middle] as Node<T>).label.charCodeAt(0);
      if (first === byte) return middle;
      if (first < byte) low = middle + 1;
      else high = middle - 1;
    }
    return -low - 1;
  }
}

export class PrefixTree<T extends object> {
  /** Items held. */
  size = 0;
  private readonly root = new Node<T>('');

  /** An item is held once for each key and way. */
  add(key: string, isPrefix: boolean, item: T): void {
    let node = this.root;
    let at = 0;
    while (at < key.length) {
      const index = node.find(key.charCodeAt(at));
      if (index < 0) {
        node = insert(node, -index - 1, new Node<T>(own(key.slice(at))));
        break;
      }
      const child = (node.children as Node<T>[])[index] as Node<T>;
      const shared = sharedLength(child.label, key, at);
      node = shared === child.label.length ? child : split(node, index, shared);
      at += shared;
    }
    if (isPrefix) node.prefixes = withItem(node.prefixes, item);
    else node.keys = withItem(node.keys, item);
    this.size++;
  }

  /** Removes what was added so, and the nodes that only it needed. It is there. */
  remove(key: string, isPrefix: boolean, item: T): void {
    const path: Node<T>[] = [this.root];
    let node = this.root;
    for (let at = 0; at < key.length; at += node.label.length) {
      const child = node.children?.[node.find(key.charCodeAt(at))];
      if (child === undefined || sharedLength(child.label, key, at) < child.label.length) return;
      node = child;
      path.push(node);
    }
    if (isPrefix) node.prefixes = withoutItem(node.prefixes, item);
    else node.keys = withoutItem(node.keys, item);
    this.size--;
    prune(path);
  }

  /** Adds to `found` all items whose prefix `bytes[start, end)` has, or whose key it is. */
  match(bytes: Uint8Array, start: number, end: number, found: T[]): void {
    let node: Node<T> | undefined = this.root;
    for (let at = start; ; ) {
      collect(node.prefixes, found);
      if (at === end) {
        collect(node.keys, found);
        return;
      }
      const { children }: Node<T> = node;
      if (children === undefined) return;
      node = children[node.find(bytes[at] as number)];
      if (node === undefined) return;
      const { label }: Node<T> = node;
      if (end - at < label.length) return;
      for (let index = 1; index < label.length; index++) {
        if (label.charCodeAt(index) !== bytes[at + index]) return;
      }
      at += label.length;
    }
  }

  /** Nodes that there are; the root is one. */
  countNodes(): number {
    const below = (node: Node<T>): number =>
      (node.children ?? []).reduce((sum, child) => sum + below(child), 1);
    return below(this.root);
  }
}

function insert<T>(parent: Node<T>, index: number, child: Node<T>): Node<T> {
  if (parent.children === undefined) parent.children = [child];
  else parent.children.splice(index, 0, child);
  return child;
}

/** Puts a node in the middle of the label of a child. */
function split<T>(parent: Node<T>, index: number, length: number): Node<T> {
  const children = parent.children as Node<T>[];
  const child = children[index] as Node<T>;
  const middle = new Node<T>(own(child.label.slice(0, length)));
  child.label = own(child.label.slice(length));
  middle.children = [child];
  children[index] = middle;
  return middle;
}

/** Takes away the nodes at the end of a path that hold nothing, and joins what needs no branch. */
function prune<T>(path: readonly Node<T>[]): void {
  for (let depth = path.length - 1; depth > 0; depth--) {
    const node = path[depth] as Node<T>;
    const parent = path[depth - 1] as Node<T>;
    const siblings = parent.children as Node<T>[];
    const index = parent.find(node.label.charCodeAt(0));
    if (node.isEmpty) {
      if (siblings.length === 1) parent.children = undefined;
      else siblings.splice(index, 1);
      continue;
    }
    const only = node.children?.length === 1 ? (node.children[0] as Node<T>) : undefined;
    if (only !== undefined && node.prefixes === undefined && node.keys === undefined) {
      only.label = own(node.label + only.label);
      siblings[index] = only;
    }
    return;
  }
}

/** The string by itself, flat: not as a view of the longer one that it was cut from, or of two joined. */
function own(text: string): string {
  return Buffer.from(text, 'latin1').toString('latin1');
}

/** Bytes that a label has in common with a key from `at` on. */
function sharedLength(label: string, key: string, at: number): number {
  const most = Math.min(label.length, key.length - at);
  let length = 0;
  while (length < most && label.charCodeAt(length) === key.charCodeAt(at + length)) length++;
  return length;
}

function withItem<T extends object>(items: Items<T>, item: T): Items<T> {
  if (items === undefined) return item;
  if (items instanceof Set) return items.add(item);
  return new Set([items, item]);
}

function withoutItem<T extends object>(items: Items<T>, item: T): Items<T> {
  if (!(items instanceof Set)) return items === item ? undefined : items;
  items.delete(item);
  if (items.size > 1) return items;
  const [last] = items;
  return last;
}

function collect<T extends object>(items: Items<T>, found: T[]): void {
  if (items === undefined) return;
  if (items instanceof Set) for (const item of items) found.push(item);
  else found.push(items);
}
