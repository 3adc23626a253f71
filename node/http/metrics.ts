// The node's figures for Prometheus, in a registry of their own. Nothing is kept twice: each metric
// reads the worker's and the engine's counters when it is scraped.

import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import {
  OPERATION_CODE_COUNT,
  OUTCOME_HOLDS,
  OUTCOME_SESSIONS,
  OUTCOME_WAITS,
} from '../../ts/engine/engine.js';
import { OperationCode } from '../../ts/wire/generated/rondo/wire/operation-code.js';
import { STATUS_COUNT, Status, statusName } from '../../ts/wire/status.js';
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
    this.addLog();
    this.addInfo();
  }

  get contentType(): string {
    return this.registry.contentType;
  }

  read(): Promise<string> {
    return this.registry.metrics();
  }

  private addTraffic(): void {
    const { counters } = this.worker;
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
        for (const [status, count] of counters.upgradesRefused) {
          add({ http_status: String(status) }, count);
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
    const { engine, counters } = this.worker;
    this.labelled(
      'rondo_operations_total',
      'Operations ended, by code and status.',
      ['code', 'status'],
      (add) => {
        for (let code = 0; code < OPERATION_CODE_COUNT; code++) {
          const name = code === 0 ? 'unknown' : OperationCode[code]?.toLowerCase();
          if (name === undefined) continue;
          for (let status = 0; status < STATUS_COUNT; status++) {
            const count = engine.counters[code * STATUS_COUNT + status] ?? 0;
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
    this.counter('rondo_records_total', 'Effect records made.', () => {
      let records = 0;
      const { partitions } = this.worker.options.settings;
      for (let partition = 0; partition < partitions; partition++) {
        records += engine.revisionOf(partition);
      }
      return records;
    });
    this.counter('rondo_record_bytes_total', 'Bytes of effect records made.', () => {
      return counters.recordBytes;
    });
  }

  private addState(): void {
    const { worker } = this;
    this.gauge('rondo_connections', 'WebSocket connections open.', () => worker.connections.size);
    this.gauge('rondo_keys', 'Keys held, expired ones not yet met included.', () => worker.keys);
    this.gauge(
      'rondo_memory_bytes',
      'Logical bytes held: keys, values and a fixed overhead.',
      () => {
        return worker.memoryBytes;
      },
    );
    this.gauge('rondo_memory_max_bytes', 'Bound of rondo_memory_bytes; 0 for none.', () => {
      return worker.options.settings.memoryMax;
    });
    this.gauge('rondo_uptime_seconds', 'Seconds since the start.', () => worker.uptimeMs / 1000);
  }

  private addCoordination(): void {
    const { worker } = this;
    this.gauge('rondo_sessions', 'Sessions, those without a connection included.', () => {
      return worker.outcomeOf(OUTCOME_SESSIONS);
    });
    this.gauge('rondo_sessions_connected', 'Sessions that have a connection.', () => {
      return worker.sessions.connected;
    });
    this.gauge('rondo_sessions_max', 'Bound of rondo_sessions.', () => {
      return worker.options.settings.sessionsMax;
    });
    this.gauge('rondo_lock_holds', 'Holds of locks.', () => worker.outcomeOf(OUTCOME_HOLDS));
    this.gauge('rondo_lock_waits', 'Waits for locks.', () => worker.outcomeOf(OUTCOME_WAITS));
    this.gauge('rondo_watches', 'Watches of all connections.', () => worker.watches.count);
  }

  /** What waits for the log. Without a log there is none of it. */
  private addLog(): void {
    const { gate } = this.worker;
    if (gate === undefined) return;
    const { log, held } = gate;
    this.counter('rondo_log_appends_total', 'Appends that the log took.', () => log.appended);
    this.counter('rondo_log_durable_appends_total', 'Appends that are durable.', () => {
      return log.durable;
    });
    this.counter('rondo_log_batches_total', 'Batches of the log, since it was made.', () => {
      return log.newestBatch;
    });
    this.gauge('rondo_log_pending_bytes', 'Bytes of records that are not durable.', () => {
      return log.pendingBytes;
    });
    this.gauge('rondo_held_replies', 'Replies that wait for the log.', () => held.count);
    this.gauge('rondo_held_bytes', 'Bytes of replies that wait for the log.', () => held.bytes);
    this.gauge('rondo_writes_refused', '1 while writes are refused; see the log for why.', () => {
      return gate.refusal === Status.Ok ? 0 : 1;
    });
    const { compactor } = this.worker.options.state;
    if (compactor === undefined) return;
    this.gauge('rondo_log_sealed_bytes', 'Bytes of the log behind the snapshot.', () => {
      return compactor.sealedBytes;
    });
    this.gauge('rondo_snapshot_bytes', 'Bytes of the newest snapshot.', () => {
      return compactor.snapshot?.bytes ?? 0;
    });
    this.counter('rondo_compactions_total', 'Snapshots made.', () => compactor.done);
    this.counter('rondo_compactions_failed_total', 'Compactions that failed.', () => {
      return compactor.failed;
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
