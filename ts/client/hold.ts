// A lock that the session holds, as the client knows it: one a grant on the node. Several `Lock`s stand for one
// hold where a lock was taken re-entrantly.

import type { RondoError } from './errors.js';
import type { KeepAlive } from './keep-alive.js';

export type HoldMode = 'exclusive' | 'shared' | 'permit';

export class Hold {
  /** Locks that stand for it and have not been released. */
  users = 0;
  /** Where it has a lease of its own. */
  keepAlive: KeepAlive | undefined;
  /** Gives up the upgrade that is under way. */
  upgrading: { readonly abort: AbortController; readonly ended: Promise<unknown> } | undefined;
  private readonly controller = new AbortController();

  constructor(
    /** The session that it belongs to. */
    readonly session: number,
    /** Of the operation that it was granted to. */
    public id: number,
    readonly name: string,
    public token: number,
    public mode: HoldMode,
  ) {}

  get signal(): AbortSignal {
    return this.controller.signal;
  }

  /** It is, or may be, another's. */
  lose(reason: RondoError): void {
    this.keepAlive?.stop();
    this.controller.abort(reason);
  }
}
