// What the supervisor and the threads of its workers say to each other. Classes are lost on the way, so that
// everything here is plain data.

import { EngineError } from '../ts/engine/engine.js';
import type { SharedMemory } from '../ts/shared/memory.js';
import type { Settings } from './config/settings.js';
import { NodeError, type NodeErrorCode } from './errors.js';
import { LogError, type LogErrorCode } from './log/log.js';
import type { RecoveryProgress } from './log/open-log.js';

/** What a thread begins with. */
export interface ThreadStart {
  readonly worker: number;
  readonly workers: number;
  readonly memory: SharedMemory;
  /** Of the process as a whole. */
  readonly settings: Settings;
  /** Of the tokens that clients may use; undefined: no authentication. */
  readonly tokenDigests: readonly Uint8Array[] | undefined;
  /** Whether log lines are sent to the supervisor instead of being written to standard error. */
  readonly sendsLog: boolean;
}

/** How a worker is made to die, for tests. `hang`: it never comes back to its event loop. */
export type Death = 'throw' | 'reject' | 'hang';

export type ToThread =
  /** Listens at the port that clients know; `isShared` as in `ListenOptions`. */
  | { readonly kind: 'accept'; readonly port: number; readonly isShared: boolean }
  /** Ends gently: `Worker.stop`. */
  | { readonly kind: 'stop' }
  /** Ends at once, but for its log and its sockets. */
  | { readonly kind: 'end' }
  | { readonly kind: 'die'; readonly how: Death };

export type FromThread =
  | { readonly kind: 'recovery'; readonly progress: RecoveryProgress }
  /** It serves at a port of its own. `node`: `State.node`. */
  | { readonly kind: 'started'; readonly port: number; readonly node: number }
  | { readonly kind: 'accepting'; readonly port: number }
  /** It could not listen at the port of an `accept`. */
  | { readonly kind: 'refused'; readonly failure: Failure }
  /** It serves no more, and the thread ends; `failure`: its log has failed. */
  | { readonly kind: 'stopped'; readonly failure: Failure | undefined }
  /** It has broken down, and the thread ends. */
  | { readonly kind: 'failed'; readonly failure: Failure }
  | { readonly kind: 'line'; readonly line: string };

/** An error as it crosses threads. */
export interface Failure {
  readonly name: string;
  readonly code: string | undefined;
  readonly message: string;
  readonly stack: string | undefined;
  readonly cause: Failure | undefined;
}

export function failureOf(error: unknown): Failure {
  if (!(error instanceof Error)) {
    const message = `something that is no error was thrown: ${String(error)}`;
    return { name: 'Error', code: undefined, message, stack: undefined, cause: undefined };
  }
  const { name, message, stack, cause } = error;
  const { code } = error as { code?: unknown };
  return {
    name,
    code: typeof code === 'string' ? code : undefined,
    message,
    stack,
    cause: cause === undefined ? undefined : failureOf(cause),
  };
}

/** An error of the same class, as far as somebody tells it apart, with the stack of the first. */
export function errorOf({ name, code, message, stack, cause }: Failure): Error {
  const options = cause === undefined ? {} : { cause: errorOf(cause) };
  let error: Error;
  if (name === 'LogError') error = new LogError(code as LogErrorCode, message, options);
  else if (name === 'NodeError') error = new NodeError(code as NodeErrorCode, message, options);
  else if (name === 'EngineError')
    error = new EngineError(code as EngineError['code'], message, options);
  else error = Object.assign(new Error(message, options), { name }, code && { code });
  if (stack !== undefined) error.stack = stack;
  return error;
}
