// What a watch tells. From the wire come `Pushed` events, plain and not yet decoded; the consumer gets
// `WatchEvent`s, made when they are taken, so that what is never taken is never decoded.

import { EventKind } from '../wire/generated/rondo/wire/event-kind.js';
import type { Codec } from './codec.js';
import { RondoError } from './errors.js';
import { type Origin, type Places, tokenOf } from './watch-token.js';

/** What every event has that is of a record in the node's log. */
export interface RecordEvent {
  readonly partition: number;
  /** Of the record, within its partition. */
  readonly revision: number;
  /** True for what was there when the watch began, false for a change. */
  readonly isSnapshot: boolean;
  /** `resume` with it goes on behind this event; undefined until the snapshot is complete. */
  readonly token: string | undefined;
}

export interface PutEvent<T> extends RecordEvent {
  readonly type: 'put';
  readonly key: string;
  /** Undefined under `keysOnly`. */
  readonly value: T;
  /** The key's revision before; 0 where it did not exist. */
  readonly previousRevision: number;
}

export interface KeyEvent extends RecordEvent {
  /** `expire`: its time to live ran out, or its session ended. `touch`: only its expiry is another. */
  readonly type: 'delete' | 'expire' | 'touch';
  readonly key: string;
  readonly previousRevision: number;
}

export interface LockGrantedEvent extends RecordEvent {
  readonly type: 'lockGranted';
  readonly name: string;
  /** Of the holder, as `rondo locks` shows it. */
  readonly session: string;
  /** The token of the grant. */
  readonly lockToken: number;
}

export interface LockEvent extends RecordEvent {
  /** `lockChanged`: depth, lease or mode of a hold. */
  readonly type: 'lockReleased' | 'lockChanged';
  readonly name: string;
  readonly lockToken: number;
}

export interface SessionEvent extends RecordEvent {
  readonly type: 'sessionOpened' | 'sessionEnded';
  readonly session: string;
}

export interface PlaceEvent {
  /**
   * `synced`: the snapshot is complete; what follows is change. `gap`: changes were dropped because the
   * consumer was slow; those behind them follow. `compacted`: changes are lost, so all that was told is
   * void; a fresh snapshot follows.
   */
  readonly type: 'synced' | 'gap' | 'compacted';
  /** Undefined for `compacted`. */
  readonly token: string | undefined;
}

export type WatchEvent<T> =
  | PutEvent<T>
  | KeyEvent
  | LockGrantedEvent
  | LockEvent
  | SessionEvent
  | PlaceEvent;

/** An event as it came. */
export interface Pushed {
  readonly kind: EventKind;
  readonly isSnapshot: boolean;
  readonly key: string;
  /** Of a put: by the form of the codec; undefined where it is no text, or not asked for. */
  readonly value: string | Uint8Array<ArrayBuffer> | undefined;
  readonly partition: number;
  readonly revision: number;
  readonly previous: number;
  /** Where to go on behind it; undefined where one cannot. */
  readonly position: number | undefined;
  readonly origin: Origin;
  /** Of a watch of several workers: where to go on at each of them, where `position` is there. */
  readonly places?: Places | undefined;
}

/** Where to go on behind an event; undefined where one cannot. */
export function placesAt({ places, position, origin }: Pushed): Places | undefined {
  if (position === undefined) return undefined;
  return places ?? [{ ...origin, position }];
}

/** An event that tells of the watch and of no record. */
export function placeEvent(
  kind: EventKind,
  origin: Origin,
  position: number | undefined,
  places?: Places,
): Pushed {
  const none = { isSnapshot: false, key: '', value: undefined } as const;
  return { ...none, kind, partition: 0, revision: 0, previous: 0, position, origin, places };
}

const NAMES = {
  [EventKind.Put]: 'put',
  [EventKind.Delete]: 'delete',
  [EventKind.Expire]: 'expire',
  [EventKind.Touch]: 'touch',
  [EventKind.LockGranted]: 'lockGranted',
  [EventKind.LockReleased]: 'lockReleased',
  [EventKind.LockChanged]: 'lockChanged',
  [EventKind.SessionOpened]: 'sessionOpened',
  [EventKind.SessionEnded]: 'sessionEnded',
  [EventKind.Synced]: 'synced',
  [EventKind.Compacted]: 'compacted',
  [EventKind.Gap]: 'gap',
} as const;

/** Kinds of events that a consumer is told. */
export type ToldKind = keyof typeof NAMES;

export function isTold(kind: number): kind is ToldKind {
  return kind in NAMES;
}

/** Whether it is about a key, whose value a later event supersedes. */
export function isOfKey(kind: EventKind): boolean {
  return kind >= EventKind.Put && kind <= EventKind.Touch;
}

export function isOfSession(kind: EventKind): boolean {
  return kind === EventKind.SessionOpened || kind === EventKind.SessionEnded;
}

const SESSION_DIGITS = 14;

/** A session's id as every command and message shows it. */
export function sessionName(id: number): string {
  return id.toString(16).padStart(SESSION_DIGITS, '0');
}

/** For the consumer. `codec`: undefined under `keysOnly`. Throws CODEC_FAILED. */
export function tell<T>(pushed: Pushed, codec: Codec<T> | undefined): WatchEvent<T> {
  const { kind, key, previous, partition, revision, isSnapshot } = pushed;
  const places = placesAt(pushed);
  const token = places === undefined ? undefined : tokenOf(places);
  const type = NAMES[kind as ToldKind];
  switch (type) {
    case 'synced':
    case 'gap':
    case 'compacted':
      return { type, token };
    case 'put': {
      const value = (codec === undefined ? undefined : decodeValue(pushed, codec)) as T;
      return {
        type,
        key,
        value,
        revision,
        previousRevision: previous,
        partition,
        isSnapshot,
        token,
      };
    }
    case 'lockGranted': {
      const session = sessionName(previous);
      return {
        type,
        name: key,
        session,
        lockToken: revision,
        revision,
        partition,
        isSnapshot,
        token,
      };
    }
    case 'lockReleased':
    case 'lockChanged':
      return { type, name: key, lockToken: previous, revision, partition, isSnapshot, token };
    case 'sessionOpened':
    case 'sessionEnded':
      return { type, session: sessionName(previous), revision, partition, isSnapshot, token };
    default:
      return { type, key, revision, previousRevision: previous, partition, isSnapshot, token };
  }
}

/** The value of a put. Throws CODEC_FAILED. */
export function decodeValue<T>(pushed: Pick<Pushed, 'key' | 'value'>, codec: Codec<T>): T {
  const { key, value } = pushed;
  let cause: unknown;
  try {
    if (codec.form === 'bytes') return codec.decode(value as Uint8Array<ArrayBuffer>);
    if (typeof value === 'string') return codec.decode(value);
  } catch (error) {
    cause = error;
  }
  const advice =
    value === undefined
      ? 'it is not text; watch it with the bytes codec'
      : 'watch it with the codec that it was written with';
  throw new RondoError(
    'CODEC_FAILED',
    `watch ${JSON.stringify(key)}: the value cannot be decoded: ${advice}`,
    { cause },
  );
}
