// Routing tables as tests make them, word by word from the layout in `ts/shared/layout.ts`, so that their
// writer is not needed to test their readers.

import {
  ROUTING_BYTES,
  ROUTING_EPOCHS,
  ROUTING_OWNERS,
  ROUTING_PARTITIONS,
  ROUTING_SEQUENCE,
  ROUTING_STATES,
  ROUTING_VERSION,
  ROUTING_WORKERS,
  WORKER_SERVING,
} from '../../ts/shared/layout.js';

/** A table of these owners, one a partition, all of whom serve. */
export function routingTable(owners: readonly number[], workers: number): Uint32Array {
  const table = new Uint32Array(new SharedArrayBuffer(ROUTING_BYTES));
  change(table, () => {
    table[ROUTING_WORKERS] = workers;
    table[ROUTING_PARTITIONS] = owners.length;
    table.set(owners, ROUTING_OWNERS);
    for (let worker = 0; worker < workers; worker++) {
      table[ROUTING_STATES + worker] = WORKER_SERVING;
      table[ROUTING_EPOCHS + worker] = 1;
    }
  });
  return table;
}

/** Sets the state of a worker: WORKER_*. */
export function setState(table: Uint32Array, worker: number, state: number): void {
  change(table, () => {
    table[ROUTING_STATES + worker] = state;
  });
}

/** One step of the version, under the sequence lock. */
function change(table: Uint32Array, write: () => void): void {
  Atomics.add(table, ROUTING_SEQUENCE, 1);
  write();
  Atomics.add(table, ROUTING_VERSION, 1);
  Atomics.add(table, ROUTING_SEQUENCE, 1);
}
