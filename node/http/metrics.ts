// The node's figures for Prometheus, in a registry of their own. Nothing is kept twice: each metric
// reads the counters of all workers when it is scraped, whichever worker is asked. What prom-client tells of
// the event loop and the heap is of the thread that answers.

import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import { OPERATION_CODE_COUNT } from '../../ts/engine/engine.js';
import { OperationCode } from '../../ts/wire/generated/rondo/wire/operation-code.js';
import { STATUS_COUNT, Status, statusName } from '../../ts/wire/status.js';
import {
  COMPACTIONS,
  COMPACTIONS_FAILED,
  CONNECTIONS,
  HELD_BYTES,
  HELD_REPLIES,
  KEYS,
  LOCK_HOLDS,
  LOCK_WAITS,
  LOG_APPENDS,
  LOG_BATCHES,
  LOG_DURABLE_APPENDS,
  LOG_PENDING_BYTES,
  LOG_SEALED_BYTES,
  MEMORY_BYTES,
  RECORDS,
  SESSIONS,
  SESSIONS_CONNECTED,
  SNAPSHOT_BYTES,
  UPGRADE_REFUSALS,
  WATCHES,
  WRITES_REFUSED,
} from '../counters.js';
import { FRAMES_PER_TIMED_FRAME } from '../limits.js';
import { VERSION } from '../version.js';
import type { Worker } from '../worker.js';
import { DurationHistogram } from './duration-histogram.js';

export class Metrics {
  private readonly registry = new Registry();

  constructor(private readonly worker: Worker) {
    collectDefaultMetrics({ register: this.registry });
    this.addTraffic();
    this.addOperations();
    this.addState();
    this.addCoordination();
    this.addWorkers();
    this.addLog();
    this.addInfo();
  }

  get contentType(): string {
    return this.registry.contentType;
  }

  read(): Promise<string> {
    this.worker.figures.sum();
    return this.registry.metrics();
  }

  private addTraffic(): void {
    const { totalCounters: counters } = this.worker.figures;
    this.counter('rondo_frames_total', 'Request frames received.', () => counters.frames);
    this.counter('rondo_received_bytes_total', 'Bytes of WebSocket messages received.', () => {
      return counters.receivedBytes;
    });
    this.counter('rondo_sent_bytes_total', 'Bytes of WebSocket messages sent.', () => {
      return counters.sentBytes;
    });
    this.counter('rondo_connections_total', 'WebSocket connections accepted.', () => {
      return counters.connections;
    });
    this.labelled(
      'rondo_frames_refused_total',
      'Connections closed for what they sent or did not read, by status.',
      ['status'],
      (add) => {
        for (const [status, count] of counters.refused.entries()) {
          if (count > 0) add({ status: statusName(status) }, count);
        }
      },
    );
    this.labelled(
      'rondo_upgrades_refused_total',
      'WebSocket upgrade requests refused, by HTTP status.',
      ['http_status'],
      (add) => {
        for (const [index, status] of UPGRADE_REFUSALS.entries()) {
          const count = counters.upgradesRefused[index] as number;
          if (count > 0) add({ http_status: String(status) }, count);
        }
      },
    );
    const histogram = new DurationHistogram(
      'rondo_frame_duration_seconds',
      'Time from a request frame to its reply being handed to the transport, or held for the log. ' +
        `Sampled: one frame in ${FRAMES_PER_TIMED_FRAME} is timed, so the count is of those.`,
      counters.frameDurations,
    );
    this.registry.registerMetric(histogram);
  }

  private addOperations(): void {
    const { totalCounters: counters } = this.worker.figures;
    this.labelled(
      'rondo_operations_total',
      'Operations ended, by code and status.',
      ['code', 'status'],
      (add) => {
        for (let code = 0; code < OPERATION_CODE_COUNT; code++) {
          const name = code === 0 ? 'unknown' : OperationCode[code]?.toLowerCase();
          if (name === undefined) continue;
          for (let status = 0; status < STATUS_COUNT; status++) {
            const count = counters.operations[code * STATUS_COUNT + status] ?? 0;
            // The operations that there are show from the start, so that their rate begins at 0.
            if (count > 0 || (status === Status.Ok && code > 0)) {
              add({ code: name, status: statusName(status) }, count);
            }
          }
        }
      },
    );
    this.counter(
      'rondo_operations_overloaded_total',
      'Operations answered OVERLOADED without an effect.',
      () => counters.operationsOverloaded,
    );
    this.counter(
      'rondo_operations_unavailable_total',
      'Operations answered UNAVAILABLE because the worker of their partition was not there.',
      () => counters.operationsUnavailable,
    );
    this.counter('rondo_records_total', 'Effect records made.', () => this.total(RECORDS));
    this.counter('rondo_record_bytes_total', 'Bytes of effect records made.', () => {
      return counters.recordBytes;
    });
  }

  private addState(): void {
    const { worker } = this;
    this.sum('rondo_connections', 'WebSocket connections open.', CONNECTIONS);
    this.sum('rondo_keys', 'Keys held, expired ones not yet met included.', KEYS);
    this.sum(
      'rondo_memory_bytes',
      'Logical bytes held: keys, values and a fixed overhead.',
      MEMORY_BYTES,
    );
    this.gauge('rondo_memory_max_bytes', 'Bound of rondo_memory_bytes; 0 for none.', () => {
      return worker.options.settings.memoryMax;
    });
    this.gauge('rondo_uptime_seconds', 'Seconds since the start.', () => worker.uptimeMs / 1000);
  }

  private addCoordination(): void {
    const { worker } = this;
    this.sum('rondo_sessions', 'Sessions, those without a connection included.', SESSIONS);
    this.sum('rondo_sessions_connected', 'Sessions that have a connection.', SESSIONS_CONNECTED);
    this.gauge('rondo_sessions_max', 'Bound of rondo_sessions.', () => {
      return worker.options.settings.sessionsMax;
    });
    this.sum('rondo_lock_holds', 'Holds of locks.', LOCK_HOLDS);
    this.sum('rondo_lock_waits', 'Waits for locks.', LOCK_WAITS);
    this.sum('rondo_watches', 'Watches of all connections.', WATCHES);
  }

  private addWorkers(): void {
    const { figures, options } = this.worker;
    const { totalCounters: counters } = figures;
    const routing = options.fabric?.routing;
    const workers = options.fabric?.workers ?? 1;
    this.gauge('rondo_workers', 'Threads that serve, each a share of the partitions.', () => {
      return workers;
    });
    new Gauge({
      name: 'rondo_worker_up',
      help: '1 where a worker serves.',
      labelNames: ['worker'],
      registers: [this.registry],
      collect() {
        routing?.refresh();
        for (let index = 0; index < workers; index++) {
          this.set({ worker: String(index) }, (routing?.isServing(index) ?? true) ? 1 : 0);
        }
      },
    });
    this.counter('rondo_worker_restarts_total', 'Workers started again.', () => {
      let restarts = 0;
      for (let index = 0; routing !== undefined && index < workers; index++) {
        restarts += Math.max(0, routing.epochOf(index) - 1);
      }
      return restarts;
    });
    this.counter(
      'rondo_forwarded_frames_total',
      'Frames that were sent on to another worker.',
      () => counters.forwardedFrames,
    );
    this.counter(
      'rondo_forwarded_operations_total',
      'Operations that were sent on to another worker.',
      () => counters.forwardedOperations,
    );
  }

  /** What waits for the log. Without a log there is none of it. */
  private addLog(): void {
    const { gate } = this.worker;
    if (gate === undefined) return;
    this.counter('rondo_log_appends_total', 'Appends that the log took.', () => {
      return this.total(LOG_APPENDS);
    });
    this.counter('rondo_log_durable_appends_total', 'Appends that are durable.', () => {
      return this.total(LOG_DURABLE_APPENDS);
    });
    this.counter('rondo_log_batches_total', 'Batches of the log, since it was made.', () => {
      return this.total(LOG_BATCHES);
    });
    this.sum(
      'rondo_log_pending_bytes',
      'Bytes of records that are not durable.',
      LOG_PENDING_BYTES,
    );
    this.sum('rondo_held_replies', 'Replies that wait for the log.', HELD_REPLIES);
    this.sum('rondo_held_bytes', 'Bytes of replies that wait for the log.', HELD_BYTES);
    this.sum(
      'rondo_writes_refused',
      'Workers that refuse writes at present; see the log for why.',
      WRITES_REFUSED,
    );
    if (this.worker.options.state.compactor === undefined) return;
    this.sum('rondo_log_sealed_bytes', 'Bytes of the log behind the snapshot.', LOG_SEALED_BYTES);
    this.sum('rondo_snapshot_bytes', 'Bytes of the newest snapshot.', SNAPSHOT_BYTES);
    this.counter('rondo_compactions_total', 'Snapshots made.', () => this.total(COMPACTIONS));
    this.counter('rondo_compactions_failed_total', 'Compactions that failed.', () => {
      return this.total(COMPACTIONS_FAILED);
    });
  }

  private addInfo(): void {
    const { engine, transport, settings } = this.worker.options;
    const { kind, reason } = engine;
    this.info('rondo_engine_info', 'The engine in use and why.', { kind, reason });
    this.info('rondo_transport_info', 'The transport in use and why.', {
      kind: transport.kind,
      reason: transport.reason,
    });
    this.info('rondo_node_info', 'The version of the node and what it was started with.', {
      version: VERSION,
      partitions: String(settings.partitions),
      durability: settings.durability,
    });
  }

  private total(figure: number): number {
    return this.worker.figures.totals[figure] as number;
  }

  /** A gauge of all workers together. */
  private sum(name: string, help: string, figure: number): void {
    this.gauge(name, help, () => this.total(figure));
  }

  private counter(name: string, help: string, read: () => number): void {
    this.labelled(name, help, [], (add) => add({}, read()));
  }

  private labelled(
    name: string,
    help: string,
    labelNames: string[],
    read: (add: (labels: Record<string, string>, value: number) => void) => void,
  ): void {
    new Counter({
      name,
      help,
      labelNames,
      registers: [this.registry],
      collect() {
        this.reset();
        read((labels, value) => this.inc(labels, value));
      },
    });
  }

  private gauge(name: string, help: string, read: () => number): void {
    new Gauge({
      name,
      help,
      registers: [this.registry],
      collect() {
        this.set(read());
      },
    });
  }

  private info(name: string, help: string, labels: Record<string, string>): void {
    const labelNames = Object.keys(labels);
    new Gauge({ name, help, labelNames, registers: [this.registry] }).set(labels, 1);
  }
}
