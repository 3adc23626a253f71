// Judges the first frame of a connection. Pure: what follows from the verdict is the worker's.

import { decodeHello, type HelloFrame } from '../ts/wire/hello.js';
import { PROTOCOL_VERSION } from '../ts/wire/layout.js';
import { HELLO_BYTES_MAX, INTEGER_LIMIT } from '../ts/wire/limits.js';
import { Status } from '../ts/wire/status.js';
import type { Tokens } from './config/tokens.js';

export interface HelloVerdict {
  /** `Ok`, or why the connection is refused. */
  readonly status: Status;
  /** As far as it could be read. */
  readonly hello: HelloFrame | undefined;
}

/**
 * `tokens` undefined: no authentication. Else a valid one is due in the hello or in the
 * Authorization header of the upgrade request.
 */
export function judgeHello(
  message: ArrayBuffer,
  authorization: string | undefined,
  tokens: Tokens | undefined,
): HelloVerdict {
  if (message.byteLength > HELLO_BYTES_MAX) {
    return { status: Status.HelloRequired, hello: undefined };
  }
  const hello = decodeHello(message);
  if (!hello) return { status: Status.HelloRequired, hello };
  // From there on are the groups of connections that name none.
  if (hello.group >= INTEGER_LIMIT) return { status: Status.HelloRequired, hello };
  if (hello.protocol !== PROTOCOL_VERSION) return { status: Status.ProtocolMismatch, hello };
  if (tokens && !tokens.acceptsHeader(authorization) && !tokens.accepts(hello.token)) {
    return { status: Status.Unauthenticated, hello };
  }
  return { status: Status.Ok, hello };
}
