// What a refused peer reads in the close frame: what was wrong and what to do, in one line.

import { PROTOCOL_VERSION } from '../ts/wire/layout.js';
import {
  HELLO_BYTES_MAX,
  OPERATIONS_PER_FRAME_MAX,
  SESSION_TTL_MS_MAX,
  SESSION_TTL_MS_MIN,
} from '../ts/wire/limits.js';
import { Status, statusName } from '../ts/wire/status.js';
import { CLOSE_REASON_BYTES_MAX } from './limits.js';

export interface RefusalLimits {
  readonly frameBytesMax: number;
  readonly sendBufferBytesMax: number;
  readonly helloDeadlineMs: number;
}

/** The reason for closing with `CLOSE_CODE_BASE + status`; ASCII, CLOSE_REASON_BYTES_MAX at most. */
export function closeReason(status: Status, limits: RefusalLimits): string {
  return reasonOf(status, limits).slice(0, CLOSE_REASON_BYTES_MAX);
}

function reasonOf(status: Status, limits: RefusalLimits): string {
  switch (status) {
    case Status.Malformed:
      return 'not a valid request frame; build frames as ts/wire/rondo.fbs says, or use rondo/client';
    case Status.FrameTooLarge:
      return `frame larger than ${limits.frameBytesMax} bytes; send fewer operations in each`;
    case Status.TooManyOperations:
      return `more than ${OPERATIONS_PER_FRAME_MAX} operations in a frame; send fewer in each`;
    case Status.DuplicateId:
      return 'operation ids must ascend strictly within a frame; give each operation its own id';
    case Status.HelloRequired:
      return `the first frame must be a valid Hello of ${HELLO_BYTES_MAX} bytes at most; send it first`;
    case Status.HelloTimeout:
      return `no Hello within ${limits.helloDeadlineMs} ms; send it right after connecting`;
    case Status.ProtocolMismatch:
      return `this node speaks protocol ${PROTOCOL_VERSION}; use the client of the node's version`;
    case Status.Unauthenticated:
      return 'a valid token is required; send it in the Hello or as Authorization: Bearer';
    case Status.TextNotSupported:
      return 'text messages are not supported; send binary frames';
    case Status.SlowReader:
      return `more than ${limits.sendBufferBytesMax} bytes of replies unread; read faster or ask for less`;
    case Status.SessionUnknown:
      return 'the session has ended, or never was; connect again and ask for a new one';
    case Status.SessionForbidden:
      return 'not the secret of that session; resume with the id and the secret from one Welcome';
    case Status.SessionMoved:
      return 'the session was resumed over another connection; use that, or a session of your own';
    case Status.TtlOutOfRange:
      return `a session lives ${SESSION_TTL_MS_MIN} to ${SESSION_TTL_MS_MAX} ms without a sign; ask for as much`;
    case Status.ResourceExhausted:
      return 'no room for another session; end some, or raise --sessions-max or --memory-max';
    case Status.DiskFull:
      return "the node's disk is full and takes no new session; free space, then connect again";
    case Status.Overloaded:
    case Status.Unavailable:
      return 'the node takes no new session at present; connect again later, or without one';
    case Status.WatchOverflow:
      return 'events of a watch were not read in time; read faster, or watch with another overflow policy';
    case Status.LogFailed:
      return "the node's log failed and the node ends; writes without a reply are unknown: read them again";
    default:
      return statusName(status);
  }
}
