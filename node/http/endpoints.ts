// The plain HTTP side of the port: health, readiness and metrics. Every other answer says what there
// is.

import { UPGRADE_REFUSALS } from '../counters.js';
import { LOGGED_TEXT_MAX } from '../limits.js';
import type { HttpReply, HttpRequest, UpgradeRequest } from '../transport/transport.js';
import type { Worker } from '../worker.js';
import { Metrics } from './metrics.js';
import { type UpgradeRefusal, WEBSOCKET_PATH } from './upgrade.js';

const JSON_TYPE = 'application/json; charset=utf-8';
const AVAILABLE = ['/healthz', '/readyz', '/metrics'] as const;

export class Endpoints {
  private readonly metrics: Metrics;

  constructor(private readonly worker: Worker) {
    this.metrics = new Metrics(worker);
  }

  answer(request: HttpRequest): HttpReply | Promise<HttpReply> {
    const { method, path } = request;
    const isKnown = path === WEBSOCKET_PATH || AVAILABLE.some((known) => known === path);
    if (!isKnown) return this.refuse(request, 404, 'NOT_FOUND', 'there is nothing at this path');
    if (method !== 'GET') {
      return this.refuse(request, 405, 'METHOD_NOT_ALLOWED', 'only GET and HEAD are served', {
        allow: 'GET, HEAD',
      });
    }
    switch (path) {
      case '/healthz':
        return this.worker.phase === 'failed'
          ? json(503, { status: 'failed' })
          : json(200, { status: 'ok' });
      case '/readyz':
        return this.answerReady();
      case '/metrics':
        return this.answerMetrics(request);
      default:
        return this.refuse(
          request,
          426,
          'UPGRADE_REQUIRED',
          'this is a WebSocket address: connect with a WebSocket client, such as rondo/client',
          { upgrade: 'websocket' },
        );
    }
  }

  /** Ready is a node all of whose partitions are served. */
  private answerReady(): HttpReply {
    const { phase, options } = this.worker;
    if (phase !== 'serving') return json(503, { status: phase });
    const routing = options.fabric?.routing;
    routing?.refresh();
    const indices = Array.from({ length: routing?.workers ?? 0 }, (_, index) => index);
    const waitingFor = indices.filter((index) => routing?.isServing(index) !== true);
    if (waitingFor.length === 0) return json(200, { status: 'ready' });
    return json(503, { status: 'starting', workers: waitingFor });
  }

  /** An error reply that says what this port serves. */
  refusal(
    status: number,
    code: string,
    message: string,
    headers?: Readonly<Record<string, string>>,
  ): HttpReply {
    const available = [`${WEBSOCKET_PATH} (WebSocket)`, ...AVAILABLE.map((path) => `GET ${path}`)];
    const reply = json(status, { error: { code, message }, available });
    return headers ? { ...reply, headers } : reply;
  }

  /** The answer to a WebSocket upgrade that is refused, with a line for the operator. */
  refuseUpgrade(request: UpgradeRequest, refusal: UpgradeRefusal): HttpReply {
    const { status, code, message } = refusal;
    const { upgradesRefused } = this.worker.counters;
    const index = UPGRADE_REFUSALS.indexOf(status);
    upgradesRefused[index] = (upgradesRefused[index] as number) + 1;
    const { remoteAddress } = request;
    const origin = request.origin?.slice(0, LOGGED_TEXT_MAX);
    const path = request.path.slice(0, LOGGED_TEXT_MAX);
    this.worker.options.logger.warn(
      { event: 'upgrade_refused', httpStatus: status, remoteAddress, origin, path },
      message,
    );
    return this.refusal(status, code, message);
  }

  private answerMetrics(request: HttpRequest): HttpReply | Promise<HttpReply> {
    const { tokens } = this.worker.options;
    if (tokens && !tokens.acceptsHeader(request.authorization)) {
      return this.refuse(
        request,
        401,
        'UNAUTHENTICATED',
        'a valid token is required: send it as Authorization: Bearer',
        { 'www-authenticate': 'Bearer' },
      );
    }
    return this.metrics.read().then(
      (body) => ({ status: 200, contentType: this.metrics.contentType, body }),
      (error: unknown) => {
        this.worker.options.logger.error({ event: 'metrics_failed', err: error }, 'metrics failed');
        return this.refusal(500, 'INTERNAL', 'the metrics could not be read: see the log');
      },
    );
  }

  private refuse(
    request: HttpRequest,
    status: number,
    code: string,
    message: string,
    headers?: Readonly<Record<string, string>>,
  ): HttpReply {
    this.worker.options.logger.warn(
      {
        event: 'http_refused',
        httpStatus: status,
        method: request.method,
        path: request.path.slice(0, LOGGED_TEXT_MAX),
      },
      `HTTP request refused: ${code}`,
    );
    return this.refusal(status, code, message, headers);
  }
}

function json(status: number, body: unknown): HttpReply {
  return { status, contentType: JSON_TYPE, body: `${JSON.stringify(body)}\n` };
}
