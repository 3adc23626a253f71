// The answer to a hello: who the node is and what it takes.

import { OUTCOME_POSITION } from '../ts/engine/engine.js';
import { encodeWelcome } from '../ts/wire/hello.js';
import { PROTOCOL_VERSION } from '../ts/wire/layout.js';
import {
  ANSWERS_REMEMBERED_MAX,
  KEY_BYTES_MAX,
  OPERATIONS_PER_FRAME_MAX,
  SCAN_ENTRIES_MAX,
  SESSION_TTL_MS_MAX,
  SESSION_TTL_MS_MIN,
} from '../ts/wire/limits.js';
import { encodeRouting } from '../ts/wire/routing.js';
import { CONNECTIONS, KEYS, MEMORY_BYTES, SESSIONS, WATCHES } from './counters.js';
import { routingBytesOf } from './fabric.js';
import { WATCHES_PER_CONNECTION_MAX } from './limits.js';
import { VERSION } from './version.js';
import type { Worker } from './worker.js';

/** What a welcome tells of the connection's session. */
export interface WelcomeSession {
  /** 0: none. */
  readonly session: number;
  readonly ttlMs: number;
  /** Of a new session; otherwise empty. */
  readonly secret: Uint8Array;
  readonly isResumed: boolean;
  readonly answersRemembered: boolean;
}

const NO_SECRET = new Uint8Array(0);

export const NO_SESSION: WelcomeSession = {
  session: 0,
  ttlMs: 0,
  secret: NO_SECRET,
  isResumed: false,
  answersRemembered: false,
};

/** Of a session that goes on. */
export function resumedSession(
  session: number,
  ttlMs: number,
  answersRemembered: boolean,
): WelcomeSession {
  return { session, ttlMs, secret: NO_SECRET, isResumed: true, answersRemembered };
}

export function welcomeOf(worker: Worker, session: WelcomeSession): Uint8Array {
  const { settings, engine, transport, fabric } = worker.options;
  const { figures } = worker;
  figures.publish();
  return encodeWelcome({
    protocol: PROTOCOL_VERSION,
    version: VERSION,
    engine: engine.kind,
    engineReason: engine.reason,
    transport: transport.kind,
    durability: settings.durability,
    partitions: settings.partitions,
    limits: {
      frameBytesMax: worker.frameBytesMax,
      keyBytesMax: KEY_BYTES_MAX,
      valueBytesMax: settings.valueBytesMax,
      operationsPerFrameMax: OPERATIONS_PER_FRAME_MAX,
      operationsOutstandingMax: settings.outstandingMax,
      scanEntriesMax: SCAN_ENTRIES_MAX,
      sessionTtlMsMin: SESSION_TTL_MS_MIN,
      sessionTtlMsMax: SESSION_TTL_MS_MAX,
      watchesMax: WATCHES_PER_CONNECTION_MAX,
      answersRememberedMax: ANSWERS_REMEMBERED_MAX,
    },
    uptimeMs: worker.uptimeMs,
    keys: figures.sumOf(KEYS),
    memoryBytes: figures.sumOf(MEMORY_BYTES),
    memoryBytesMax: settings.memoryMax,
    connections: figures.sumOf(CONNECTIONS),
    node: worker.node,
    session: session.session,
    sessionTtlMs: session.ttlMs,
    sessionSecret: session.secret,
    sessionResumed: session.isResumed,
    answersRemembered: session.answersRemembered,
    position: worker.outcomeOf(OUTCOME_POSITION),
    sessions: figures.sumOf(SESSIONS),
    watches: figures.sumOf(WATCHES),
    worker: fabric?.worker ?? 0,
    routing: routingOf(worker),
  });
}

/** The routing table as each worker told it last. */
const routings = new WeakMap<Worker, { readonly version: number; readonly bytes: Uint8Array }>();

function routingOf(worker: Worker): Uint8Array {
  const routing = worker.options.fabric?.routing;
  routing?.refresh();
  const version = routing?.version ?? 1;
  const known = routings.get(worker);
  if (known !== undefined && known.version === version) return known.bytes;
  const bytes = routing === undefined ? routingOfOne(worker) : routingBytesOf(routing);
  routings.set(worker, { version, bytes });
  return bytes;
}

/** One worker, which has everything. */
function routingOfOne({ node, port, options }: Worker): Uint8Array {
  const owners = new Uint16Array(options.settings.partitions);
  return encodeRouting({ version: 1, workers: [{ node, port, isServing: true }], owners });
}
