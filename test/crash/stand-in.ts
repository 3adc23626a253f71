// A durable node in as few lines as it takes, for the crash loop to practise on: the engine, one log of
// checksummed entries in segment files, one sync at a time, and every reply held until all that was
// executed before it is durable. And the same node with a fault, of the kinds that a real one could
// have: the loop must find each of them (`faults.ts`).
//
// Runs as a process: stand-in.js --data-dir <folder> --engine <native|ts>, STAND_IN_FAULT in the
// environment.

import { createHash } from 'node:crypto';
import {
  closeSync,
  fdatasync,
  fdatasyncSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  readdirSync,
  readFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import WebSocket, { WebSocketServer } from 'ws';
import { OUTCOME_COUNT, OUTCOME_NEXT, OUTCOME_RECORD_BYTES } from '../../ts/engine/engine.js';
import { chooseEngine, type EngineMode } from '../../ts/engine/load.js';
import { encodeWelcome } from '../../ts/wire/hello.js';
import { PROTOCOL_VERSION } from '../../ts/wire/layout.js';
import { OPTIONS } from '../drive/engines.js';
import { NO_SESSION } from '../drive/hello.js';

export type Fault =
  /** Replies do not wait for the log. */
  | 'acknowledges-early'
  /** Replies to frames that wrote nothing do not wait. */
  | 'reads-early'
  /** What was read back after a crash is shown before it is synced. */
  | 'recovers-unsynced'
  /** New segments are not synced into their directory. */
  | 'forgets-directory'
  /** A torn tail stays, and what comes next is written behind it. */
  | 'keeps-torn-tail'
  /** A batch is taken as it is, whatever its checksum says. */
  | 'trusts-bytes'
  /** A sync that failed is tried again, and what it says then is believed. */
  | 'retries-sync';

const SEGMENT_BYTES = 256 * 1024;
const LENGTH_BYTES = 4;
const HEADER_BYTES = LENGTH_BYTES + 16;

const { values } = parseArgs({
  strict: false,
  options: { 'data-dir': { type: 'string' }, engine: { type: 'string' } },
});
const directory = String(values['data-dir']);
const fault = process.env.STAND_IN_FAULT as Fault | undefined;
const engine = chooseEngine(values.engine as EngineMode).create(OPTIONS);

interface Waiting {
  readonly socket: WebSocket;
  readonly reply: Buffer;
  /** Bytes of the log that must be durable before the reply may leave. */
  readonly gate: number;
}

let segment = 0;
let fd = -1;
let segmentBytes = 0;
let executedBytes = 0;
let durableBytes = 0;
let batch: Buffer[] = [];
let isSyncing = false;
const waiting: Waiting[] = [];

recover();
serve();

function recover(): void {
  const names = readdirSync(directory).toSorted();
  for (const name of names) {
    segment = Number.parseInt(name, 10);
    const path = join(directory, name);
    const bytes = readFileSync(path);
    let at = 0;
    for (let entry = entryAt(bytes, at); entry !== undefined; entry = entryAt(bytes, at)) {
      engine.fold(entry);
      at += HEADER_BYTES + entry.length;
    }
    const file = openSync(path, 'r+');
    if (at < bytes.length) {
      if (name !== names.at(-1)) throw new Error(`${name} is damaged at byte ${at}`);
      if (fault !== 'keeps-torn-tail') ftruncateSync(file, at);
    }
    // Those before it were synced when it was begun.
    if (fault !== 'recovers-unsynced' && name === names.at(-1)) fdatasyncSync(file);
    closeSync(file);
  }
  if (fault !== 'recovers-unsynced') syncDirectory();
  if (fault === 'keeps-torn-tail' && segment > 0) {
    const name = names.at(-1) as string;
    fd = openSync(join(directory, name), 'a');
    segmentBytes = readFileSync(join(directory, name)).length;
  } else {
    roll();
  }
}

function entryAt(bytes: Buffer, at: number): Buffer | undefined {
  if (at + HEADER_BYTES > bytes.length) return undefined;
  const length = bytes.readUInt32LE(at);
  const records = bytes.subarray(at + HEADER_BYTES, at + HEADER_BYTES + length);
  if (length === 0 || records.length < length) return undefined;
  const sum = bytes.subarray(at + LENGTH_BYTES, at + HEADER_BYTES);
  return fault === 'trusts-bytes' || sum.equals(checksum(records)) ? records : undefined;
}

function checksum(bytes: Uint8Array): Buffer {
  return createHash('md5').update(bytes).digest();
}

function roll(): void {
  if (fd >= 0) closeSync(fd);
  segment++;
  fd = openSync(join(directory, `${String(segment).padStart(8, '0')}.log`), 'ax');
  segmentBytes = 0;
  if (fault !== 'forgets-directory') syncDirectory();
}

function syncDirectory(): void {
  const file = openSync(directory, 'r');
  fsyncSync(file);
  closeSync(file);
}

/** Writes what has gathered, and syncs it while the next batch gathers. */
function commit(): void {
  if (isSyncing || batch.length === 0) return;
  isSyncing = true;
  if (segmentBytes > SEGMENT_BYTES) roll();
  const bytes = Buffer.concat(batch);
  batch = [];
  const target = executedBytes;
  writeSync(fd, bytes);
  segmentBytes += bytes.length;
  fdatasync(fd, (error) => {
    // After a failed sync nobody knows what is durable.
    if (error !== null && fault !== 'retries-sync') process.exit(1);
    if (error !== null) fdatasyncSync(fd);
    isSyncing = false;
    durableBytes = target;
    release();
    commit();
  });
}

function release(): void {
  while (waiting.length > 0 && (waiting[0] as Waiting).gate <= durableBytes) {
    const { socket, reply } = waiting.shift() as Waiting;
    if (socket.readyState === WebSocket.OPEN) socket.send(reply);
  }
}

function onFrame(socket: WebSocket, bytes: Buffer): void {
  const frame = new Uint8Array(bytes).buffer;
  const { outcome } = engine;
  let next = 0;
  do {
    const length = engine.execute(frame, next, Date.now());
    if (length < 0) throw new Error(`a frame was refused with ${-length}`);
    const records = Buffer.from(engine.records.slice(0, outcome[OUTCOME_RECORD_BYTES]));
    next = outcome[OUTCOME_NEXT] as number;
    if (records.length > 0) {
      const header = Buffer.alloc(LENGTH_BYTES);
      header.writeUInt32LE(records.length);
      batch.push(header, checksum(records), records);
      executedBytes += HEADER_BYTES + records.length;
    }
    const reply = Buffer.from(engine.reply.slice(0, length));
    const isEarly =
      fault === 'acknowledges-early' || (fault === 'reads-early' && records.length === 0);
    if (isEarly) socket.send(reply);
    else waiting.push({ socket, reply, gate: executedBytes });
  } while (next < (outcome[OUTCOME_COUNT] as number));
  release();
  commit();
}

function serve(): void {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0, perMessageDeflate: false });
  server.on('listening', () => {
    const { port } = server.address() as { port: number };
    process.stdout.write(`${JSON.stringify({ event: 'ready', url: `ws://127.0.0.1:${port}` })}\n`);
  });
  server.on('connection', (socket) => {
    socket.once('message', () => {
      socket.send(welcome());
      socket.on('message', (bytes: Buffer) => onFrame(socket, bytes));
    });
  });
}

function welcome(): Uint8Array {
  const megabyte = 1024 * 1024;
  return encodeWelcome({
    protocol: PROTOCOL_VERSION,
    version: '0.0.0',
    engine: engine.kind,
    engineReason: 'chosen',
    transport: 'ws',
    durability: 'sync',
    partitions: OPTIONS.partitions,
    limits: {
      frameBytesMax: 4 * megabyte,
      keyBytesMax: 1024,
      valueBytesMax: megabyte,
      operationsPerFrameMax: 8192,
      operationsOutstandingMax: 65_536,
      scanEntriesMax: 1000,
      sessionTtlMsMin: 1000,
      sessionTtlMsMax: 86_400_000,
      watchesMax: 0,
      answersRememberedMax: 1024,
    },
    uptimeMs: 0,
    keys: 0,
    memoryBytes: 0,
    memoryBytesMax: 0,
    connections: 1,
    ...NO_SESSION,
  });
}
