// The answer to a hello: who the node is and what it takes.

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
import { VERSION } from './version.js';
import type { Worker } from './worker.js';

export function welcomeOf(worker: Worker): Uint8Array {
  const { settings, engine, transport } = worker.options;
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
      watchesMax: 0,
      answersRememberedMax: ANSWERS_REMEMBERED_MAX,
    },
    uptimeMs: worker.uptimeMs,
    keys: worker.keys,
    memoryBytes: worker.memoryBytes,
    memoryBytesMax: settings.memoryMax,
    connections: worker.connections.size,
    node: 0,
    session: 0,
    sessionTtlMs: 0,
    sessionSecret: new Uint8Array(0),
    sessionResumed: false,
    answersRemembered: false,
    position: 0,
    sessions: 0,
    watches: 0,
  });
}
