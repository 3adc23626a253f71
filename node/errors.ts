// The one error type of the operator's side: what went wrong before or beside serving. The network
// side answers with `Status` codes instead.

export type NodeErrorCode =
  | 'CONFIG_INVALID'
  | 'CONFIG_UNREADABLE'
  | 'TOKEN_FILE_INVALID'
  | 'HOST_NOT_PROTECTED'
  | 'PORT_IN_USE'
  | 'LISTEN_FAILED'
  | 'TRANSPORT_ABSENT'
  | 'TRANSPORT_BROKEN'
  /** The thread of a worker has ended, or does not answer. */
  | 'WORKER_DIED'
  | 'WORKER_HANGS'
  | 'FILE_NOT_WRITTEN'
  | 'INVARIANT_BROKEN';

export class NodeError extends Error {
  override readonly name = 'NodeError';
  constructor(
    /** Stable: tests and scripts tell errors apart by it. */
    readonly code: NodeErrorCode,
    message: string,
    options?: { cause?: unknown },
  ) {
    super(message, options);
  }
}

/** The message of anything that was thrown, with those of its causes. */
export function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause === undefined
    ? error.message
    : `${error.message} (because: ${messageOf(error.cause)})`;
}
