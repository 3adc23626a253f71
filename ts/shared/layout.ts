// Byte positions in the memory that workers share. Both engines read the routing table and write counters
// and revisions in place, so these figures are compared with the addon's when it loads.
//
// The routing table is 32-bit words (index = byte / 4), written by the supervisor alone under a sequence
// lock: the sequence is odd while it is written. A reader keeps a copy and looks at the version before it
// uses it; where that has moved it copies again, until the sequence was even and the same before and after.

import { PARTITIONS_MAX, WORKERS_MAX } from '../wire/limits.js';

export const ROUTING_SEQUENCE = 0;
/** Ascends with every change, from 1 on. */
export const ROUTING_VERSION = 1;
export const ROUTING_WORKERS = 2;
export const ROUTING_PARTITIONS = 3;
/** A word a worker: WORKER_*. */
export const ROUTING_STATES = 4;
/** A word a worker: where it listens beside the shared port; 0: it does not. */
export const ROUTING_PORTS = ROUTING_STATES + WORKERS_MAX;
/** A word a worker: how often it was started. */
export const ROUTING_EPOCHS = ROUTING_PORTS + WORKERS_MAX;
/** Two words a worker, low one first: its node id. */
export const ROUTING_NODES = ROUTING_EPOCHS + WORKERS_MAX;
/** A word a partition: the worker that has it. */
export const ROUTING_OWNERS = ROUTING_NODES + 2 * WORKERS_MAX;

/** Bytes of a routing table. */
export const ROUTING_BYTES = 4 * (ROUTING_OWNERS + PARTITIONS_MAX);

export const WORKER_STARTING = 0;
/** Takes operations, from clients and from other workers. */
export const WORKER_SERVING = 1;
export const WORKER_STOPPING = 2;
/** It has died, and is started again. */
export const WORKER_DOWN = 3;

/** Bytes of messages that a ring holds, and with more than RING_WORKERS_MAX workers, since each pair has two rings. */
export const RING_BYTES_DEFAULT = 1024 * 1024;
export const RING_BYTES_MANY_WORKERS = 256 * 1024;
export const RING_WORKERS_MAX = 8;

/** Words of a doorbell: two cache lines, so that ringing one disturbs no other. */
export const DOORBELL_WORDS = 32;
