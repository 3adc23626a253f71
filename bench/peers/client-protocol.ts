// What the benchmark and a client process say to each other over IPC.

import type { OperationName, Side } from './measurements.js';

export type ClientSide = Extract<Side, 'rondo' | 'rondo-ts' | 'ioredis' | 'node-redis'>;

export type ClientOrder =
  | {
      readonly kind: 'connect';
      readonly side: ClientSide;
      readonly address: string;
      readonly keys: number;
      readonly valueBytes: number;
    }
  | {
      readonly kind: 'measure';
      readonly operation: OperationName;
      readonly calls: number;
      readonly seconds: number;
      readonly warmUpSeconds: number;
    };

export type ClientAnswer =
  | { readonly kind: 'connected' }
  | {
      readonly kind: 'measured';
      readonly operations: number;
      readonly seconds: number;
      /** Of one call in eight. */
      readonly latencyMicros: { readonly p50: number; readonly p99: number; readonly p999: number };
      readonly cpuSeconds: number;
    }
  | { readonly kind: 'failed'; readonly message: string };
