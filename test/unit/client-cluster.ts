// A scripted node with several workers: a scripted node each, with a port of its own, that tell one routing table.

import { compareBytes } from '../../ts/wire/bytes.js';
import { OperationCode } from '../../ts/wire/generated/rondo/wire/operation-code.js';
import { FLAG_ENTRY, FLAG_MORE } from '../../ts/wire/layout.js';
import { partitionOfKey } from '../../ts/wire/partition.js';
import { EventKind } from '../../ts/wire/push.js';
import { encodeRouting } from '../../ts/wire/routing.js';
import { scriptedNode } from './client-harness.js';
import type { Peer, ScriptedNode, SentOperation } from './client-scripted-node.js';
import { pushFrame, type Said } from './client-watch-node.js';

const PARTITIONS = 64;

export class Cluster {
  version = 1;
  /** Ports told in place of the real ones; 0: the worker has none. */
  readonly ports = new Map<number, number>();
  /** Workers that do not serve. */
  readonly down = new Set<number>();

  private constructor(readonly workers: readonly ScriptedNode[]) {}

  static async start(count: number): Promise<Cluster> {
    const workers: ScriptedNode[] = [];
    for (let worker = 0; worker < count; worker++) {
      const node = await scriptedNode();
      node.worker = worker;
      node.log = 100 + worker;
      node.sessions = { resumes: true, answersRemembered: true };
      workers.push(node);
    }
    const cluster = new Cluster(workers);
    cluster.tell();
    return cluster;
  }

  get url(): string {
    return this.worker(0).url;
  }

  worker(index: number): ScriptedNode {
    const node = this.workers[index];
    if (node === undefined) throw new Error(`there is no worker ${index}`);
    return node;
  }

  /** Has each worker tell the table as it is now. */
  tell(): void {
    for (const node of this.workers) node.routing = this.table();
  }

  table(): Uint8Array {
    const count = this.workers.length;
    return encodeRouting({
      version: this.version++,
      workers: this.workers.map((node, index) => ({
        node: node.log,
        port: this.ports.get(index) ?? node.port,
        isServing: !this.down.has(index),
      })),
      owners: Uint16Array.from({ length: PARTITIONS }, (_, partition) => partition % count),
    });
  }

  ownerOf(key: string): number {
    const bytes = Buffer.from(key);
    return partitionOfKey(bytes, 0, bytes.length, PARTITIONS) % this.workers.length;
  }

  /** A key of this worker. */
  keyOf(worker: number, prefix = 'k'): string {
    for (let count = 0; ; count++) {
      const key = `${prefix}${count}`;
      if (this.ownerOf(key) === worker) return key;
    }
  }

  /** A control event of a worker, to the newest connection of a worker. */
  push(to: number, kind: EventKind, of: number, more: Partial<Said> = {}): void {
    const peer = this.worker(to).peers.at(-1);
    peer?.socket.send(pushFrame(0, [{ kind, partition: of, ...more }]));
  }

  pushRouting(to: number): void {
    this.push(to, EventKind.Routing, to, { value: this.table() });
  }

  /** Every operation that a worker was sent, other than signs of life. */
  operationsAt(worker: number): SentOperation[] {
    return this.worker(worker).operations.filter(({ code }) => code !== OperationCode.Renew);
  }
}

const byBytes = (one: string, other: string): number => {
  const [a, b] = [Buffer.from(one), Buffer.from(other)];
  return compareBytes(a, 0, a.length, b, 0, b.length);
};

/** Answers a scan or a list of locks from these keys, `pageMax` entries a page at most. */
export function answerPage(
  peer: Peer,
  operation: SentOperation,
  keys: readonly string[],
  pageMax = 1000,
): void {
  const { id, key: prefix, text: cursor, limit } = operation;
  const found = keys
    .filter((key) => key.startsWith(prefix) && byBytes(key, cursor) > 0)
    .sort(byBytes);
  const page = found.slice(0, Math.min(limit, pageMax));
  const hasMore = found.length > page.length;
  peer.reply((writer) => {
    for (const key of page) {
      writer.entry(id, FLAG_ENTRY, Buffer.from(key), Buffer.from(JSON.stringify(key)), 1, 0);
    }
    const end = Buffer.from(hasMore ? (page.at(-1) ?? '') : '');
    writer.closing(id, hasMore ? FLAG_MORE : 0, end, page.length);
  });
}
