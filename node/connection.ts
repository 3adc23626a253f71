// What a worker keeps of one connection.

import type { Timer } from './clock.js';

export class ConnectionState {
  /** Whether the hello was accepted: nothing else is taken before. */
  isGreeted = false;
  /** Name and version of the client library, as it said at hello. */
  client = '';
  /** Runs until the hello is accepted or the connection ends. */
  helloTimer: Timer | undefined;
  /** Operations answered while the peer left replies unread; 0 once it has taken them all. */
  outstanding = 0;
  /** Frames are being answered with OVERLOADED; so that it is logged once and not for each. */
  isOverloaded = false;

  constructor(
    /** The Authorization header of the upgrade request. */
    readonly authorization: string | undefined,
  ) {}
}
