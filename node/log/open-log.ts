// Placeholder: replaced when the local log lands.
export interface RecoveryProgress {
  readonly bytesDone: number;
  readonly bytesTotal: number;
}

import type { Log } from './log.js';
export interface OpenLog {
  readonly log: Log;
  close(): Promise<void>;
}
export async function openLog(..._: unknown[]): Promise<OpenLog> {
  throw new Error('later');
}
