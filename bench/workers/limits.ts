// How much there is of everything in a run, and what the figures are to reach.

import type { Sizes } from './runs.js';

/** 48 connections spread evenly over 1, 2, 3, 4, 6, 8, 12, 16 and 24 workers. */
export const SIZES_FULL: Sizes = { connections: 48, keys: 100_000, valueBytes: 64 };
export const SIZES_QUICK: Sizes = { connections: 8, keys: 2_000, valueBytes: 64 };

/** Operations in a frame. The last one is what the share of forwarding is judged by. */
export const BATCHES = [1, 16, 128] as const;
export const ROUNDS_DEFAULT = 5;
export const ROUNDS_MAX = 100;
export const SECONDS_DEFAULT = 1.5;
export const SECONDS_MAX = 600;
export const WARM_UP_SECONDS_MAX = 0.5;
export const GENERATOR_THREADS_MAX = 64;

/** Throughput where all is forwarded over that where nothing is, at the largest batch. */
export const FORWARD_RATIO_MIN = 0.6;
/** What forwarding adds to the median latency of one operation alone. */
export const ADDED_MICROS_MAX = 60;

/** For how many workers the estimate is made. */
export const ESTIMATE_WORKERS = [2, 4, 8, 16, 32] as const;
