// The bytes of an OPEN message: what the other worker has to know of a connection.

import { readU64, writeU64 } from '../../ts/wire/layout.js';
import { SESSION_SECRET_BYTES } from '../../ts/wire/limits.js';

export interface ChannelOpen {
  /** Of the session's connections; 0 where there is none. */
  readonly group: number;
  /** What stands for the session's secret; undefined where there is no session. */
  readonly digest: Uint8Array | undefined;
  /** Name and version of the client library. */
  readonly client: string;
}

const HEAD_BYTES = 8 + SESSION_SECRET_BYTES;

export function encodeOpen({ group, digest, client }: ChannelOpen): Uint8Array {
  const name = Buffer.from(client);
  if (digest === undefined) return name;
  const bytes = new Uint8Array(HEAD_BYTES + name.length);
  writeU64(new DataView(bytes.buffer), 0, group);
  bytes.set(digest, 8);
  bytes.set(name, HEAD_BYTES);
  return bytes;
}

export function decodeOpen(session: number, bytes: Uint8Array): ChannelOpen {
  const text = (from: number) => Buffer.from(bytes.slice(from)).toString();
  if (session === 0) return { group: 0, digest: undefined, client: text(0) };
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const group = readU64(view, 0);
  return { group, digest: bytes.slice(8, HEAD_BYTES), client: text(HEAD_BYTES) };
}
