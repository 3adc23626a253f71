// A scripted node that has watches: it answers Watch and Unwatch as a test says, and pushes what a test says.

import type { ConnectOptions, Rondo, WatchEvent } from '../../ts/client/index.js';
import { OperationCode } from '../../ts/wire/generated/rondo/wire/operation-code.js';
import { FLAG_SNAPSHOT, readU64 } from '../../ts/wire/layout.js';
import { EventKind, type EventSource, PushWriter } from '../../ts/wire/push.js';
import { Status } from '../../ts/wire/status.js';
import { client, scriptedNode, until } from './client-harness.js';
import type { Peer, ScriptedNode, SentOperation } from './client-scripted-node.js';

export interface Said {
  readonly kind: EventKind;
  readonly key?: string;
  readonly value?: string | Uint8Array;
  readonly snapshot?: boolean;
  readonly revision?: number;
  readonly previous?: number;
  readonly position?: number;
  readonly partition?: number;
  readonly status?: number;
}

export interface Asked extends SentOperation {
  readonly peer: Peer;
}

export class WatchNode {
  readonly watches: Asked[] = [];
  readonly unwatched: number[] = [];
  /** The status and position that a watch is answered with. */
  answer: (asked: Asked) => [status: number, position: number] = () => [Status.Ok, 100];
  /** Sent behind the answer at once, in the same turn. */
  greeting: ((asked: Asked) => Said[]) | undefined;

  constructor(readonly node: ScriptedNode) {
    node.script = (peer, operations) => {
      for (const operation of operations) this.handle(peer, operation);
    };
  }

  static async start(): Promise<WatchNode> {
    return new WatchNode(await scriptedNode());
  }

  /** A client of it, without a session. */
  client(options: Partial<ConnectOptions> = {}): Rondo {
    return client(this.node.url, { session: false, ...options });
  }

  /** The watch that was asked for as number `index`, when it has been. */
  async asked(index = 0): Promise<Asked> {
    await until(() => this.watches.length > index);
    return this.watches[index] as Asked;
  }

  push(asked: Asked | undefined, ...events: Said[]): void {
    if (asked === undefined) throw new Error('there is no such watch');
    this.pushTo(asked.peer, asked.id, events);
  }

  pushTo(peer: Peer, id: number, events: readonly Said[]): void {
    peer.socket.send(pushFrame(id, events));
  }

  private handle(peer: Peer, operation: SentOperation): void {
    if (operation.code === OperationCode.Unwatch) {
      this.unwatched.push(operation.expectedRevision);
      peer.status([operation], Status.Ok);
    } else if (operation.code === OperationCode.Watch) {
      const asked: Asked = { ...operation, peer };
      this.watches.push(asked);
      const [status, position] = this.answer(asked);
      peer.status([operation], status, position);
      if (status === Status.Ok && this.greeting !== undefined) {
        this.push(asked, ...this.greeting(asked));
      }
    } else {
      peer.confirm([operation]);
    }
  }
}

/** A push frame of these events, all of one watch. */
export function pushFrame(id: number, events: readonly Said[]): Uint8Array {
  const sources = events.map(sourceOf);
  const writer = new PushWriter();
  writer.begin(
    sources.length,
    sources.reduce((sum, { bytes }) => sum + bytes.length, 0),
  );
  for (const source of sources) writer.event(id, source);
  return writer.finish().slice();
}

function sourceOf(said: Said): EventSource {
  const key = Buffer.from(said.key ?? '');
  const { value = '' } = said;
  const content = typeof value === 'string' ? Buffer.from(value) : value;
  return {
    kind: said.kind,
    flags: said.snapshot === true ? FLAG_SNAPSHOT : 0,
    status: said.status ?? Status.Ok,
    partition: said.partition ?? 0,
    revision: said.revision ?? 0,
    previous: said.previous ?? 0,
    position: said.position ?? 0,
    bytes: Buffer.concat([key, content]),
    keyAt: 0,
    keyEnd: key.length,
    valueAt: key.length,
    valueEnd: key.length + content.length,
  };
}

/** A put as the node pushes it: a change at a position, or an entry of a snapshot without one. */
export function put(key: string, value: unknown, position?: number): Said {
  return {
    kind: EventKind.Put,
    key,
    value: JSON.stringify(value),
    snapshot: position === undefined,
    revision: position ?? 1,
    position: position ?? 0,
  };
}

export function synced(position: number): Said {
  return { kind: EventKind.Synced, position };
}

/** The next `count` events. */
export async function take<T>(
  events: AsyncIterator<WatchEvent<T>>,
  count: number,
): Promise<WatchEvent<T>[]> {
  const taken: WatchEvent<T>[] = [];
  while (taken.length < count) {
    const { value, done } = await events.next();
    if (done === true) throw new Error(`the watch ended after ${taken.length} events`);
    taken.push(value as WatchEvent<T>);
  }
  return taken;
}

/** Events in short: `put a=1`, `delete a`, `synced`. */
export function brief(events: readonly WatchEvent<unknown>[]): string[] {
  return events.map((event) => {
    if (event.type === 'put') return `put ${event.key}=${JSON.stringify(event.value)}`;
    if ('key' in event) return `${event.type} ${event.key}`;
    return event.type;
  });
}

/** Where a watch was asked to go on: the position in its value. */
export function positionIn(asked: Asked): number {
  const { value } = asked;
  return readU64(new DataView(value.buffer, value.byteOffset, value.byteLength), 16);
}
