// What a call of the engine leaves beside its reply, and who gets it: records go to the log and to the
// watches; answers to operations of earlier frames to the sessions that wait for them. To be called after
// every call of the engine but `fold` and `restore`: `store`, then what the call itself answers, then `tell`.
//
// Answers are held by the gate until the call's newest append is durable, however much it holds already: an
// engine gives each of them once, and they are no more than the waits that there are. Those of a session
// without a connection are dropped: its client asks again once it has resumed the session.

import type { Logger } from 'pino';
import { sessionText } from '../ts/engine/coordination.js';
import {
  type Engine,
  OUTCOME_APPEND,
  OUTCOME_MORE,
  OUTCOME_NOTICE_BYTES,
  OUTCOME_POSITION,
  OUTCOME_RECORD_BYTES,
} from '../ts/engine/engine.js';
import { OperationCode } from '../ts/wire/generated/rondo/wire/operation-code.js';
import { STATUS_COUNT, Status } from '../ts/wire/status.js';
import { describe, type Peer, type Send } from './connection.js';
import type { Counters } from './counters.js';
import type { Gate } from './gate.js';
import { Notices } from './notices.js';
import { ReplyViews } from './reply-views.js';
import type { SessionHomes } from './session-homes.js';
import type { SessionRegistry } from './session-registry.js';
import type { Watches, WatchRequest } from './watch/watches.js';

/** Where an engine counts the sessions that their clients have ended. */
const ENDS_ASKED = OperationCode.EndSession * STATUS_COUNT + Status.Ok;

export interface EffectsOptions {
  readonly engine: Engine;
  readonly partitions: number;
  /** Undefined: nothing is stored. */
  readonly gate: Gate | undefined;
  /** Whether what is stored waits until it is durable before it is shown. */
  readonly isWaiting: boolean;
  readonly registry: SessionRegistry;
  readonly watches: Watches;
  readonly counters: Counters;
  readonly logger: Logger;
  readonly send: Send;
  readonly refuse: (peer: Peer, status: Status) => void;
  /** Closes as `refuse` does, where the client asked for it. */
  readonly dismiss: (peer: Peer, status: Status) => void;
  /** Where there are several workers: the part that speaks with the others about sessions. */
  readonly homes: () => Pick<SessionHomes, 'isHome' | 'onEnded'> | undefined;
  /** Work is due that had no room in the call. */
  readonly onMore: () => void;
}

export class Effects {
  private readonly notices: Notices;
  private readonly records: ReplyViews;
  /** Sessions that clients have ended, as far as their ends were seen to. */
  private asked: number;
  /** The sum of all revisions after the last call that made records. */
  private position = 0;

  constructor(private readonly options: EffectsOptions) {
    const { engine, partitions } = options;
    this.notices = new Notices(engine);
    this.records = new ReplyViews(engine.records);
    this.asked = engine.counters[ENDS_ASKED] as number;
    for (let partition = 0; partition < partitions; partition++) {
      this.position += engine.revisionOf(partition);
    }
  }

  /** Whether the last call has changed something, so that its reply must not be replaced. */
  get hasChanged(): boolean {
    const { outcome } = this.options.engine;
    return (outcome[OUTCOME_RECORD_BYTES] as number) > 0 || this.notices.hasAnswers;
  }

  /** Gives records of the last call to the log and the watches. */
  store(): void {
    const { engine, gate, watches, counters } = this.options;
    const { outcome } = engine;
    const bytes = outcome[OUTCOME_RECORD_BYTES] as number;
    if (bytes === 0) return;
    counters.recordBytes += bytes;
    gate?.store();
    const append = outcome[OUTCOME_APPEND] as number;
    const before = this.position;
    this.position = outcome[OUTCOME_POSITION] as number;
    watches.onRecords(append, this.records.of(bytes), before, this.position);
  }

  /** Hands out what the last call has for others. `peer`: whose frame it was, if it was one. */
  tell(peer: Peer | undefined): void {
    const { engine, isWaiting, watches, onMore } = this.options;
    const { outcome } = engine;
    const recordBytes = outcome[OUTCOME_RECORD_BYTES] as number;
    const noticeBytes = outcome[OUTCOME_NOTICE_BYTES] as number;
    if (recordBytes > 0 && !isWaiting) watches.onDurable(outcome[OUTCOME_APPEND] as number);
    // A call that did nothing, as under a write refusal, would do nothing again at once.
    if (outcome[OUTCOME_MORE] === 1 && recordBytes + noticeBytes > 0) onMore();
    if (noticeBytes > 0) this.tellNotices(peer);
  }

  /**
   * Does what shows the newest append once that is durable, behind the replies that wait for it already.
   * `operations`: how many it answers.
   */
  after(peer: Peer, operations: number, action: () => void): void {
    const { engine, gate } = this.options;
    if (gate === undefined) action();
    else gate.after(engine.outcome[OUTCOME_APPEND] as number, peer, operations, action);
  }

  /** The same for what concerns no connection. */
  afterAll(action: () => void): void {
    const { engine, gate } = this.options;
    if (gate === undefined) action();
    else gate.after(engine.outcome[OUTCOME_APPEND] as number, undefined, 0, action);
  }

  /**
   * Closes the connections of a session that has ended, when the newest append is durable. `isAsked`: its client
   * has ended it.
   */
  disconnect(session: number, isAsked: boolean): void {
    const { registry, logger, refuse, dismiss } = this.options;
    const peers = registry.end(session);
    const text = isAsked ? 'session ended by its client' : 'session ended';
    const fields = { event: 'session_ended', session: sessionText(session) };
    logger.debug({ ...fields, ...(peers[0] && describe(peers[0])) }, text);
    const close = isAsked ? dismiss : refuse;
    for (const peer of peers) this.after(peer, 0, () => close(peer, Status.SessionUnknown));
  }

  private tellNotices(peer: Peer | undefined): void {
    const { engine, gate, registry, send } = this.options;
    const append = engine.outcome[OUTCOME_APPEND] as number;
    const position = engine.outcome[OUTCOME_POSITION] as number;
    this.notices.read({
      onAnswers: (session, frame, answers) => {
        const waiting = registry.peerOf(session);
        if (waiting === undefined) return;
        if (gate === undefined) send(waiting, frame, answers);
        else gate.hold(append, waiting, frame, answers, true);
      },
      onSessionEnded: (session) => this.endSession(session, peer),
      onRequest: (code, request) => {
        if (peer !== undefined) this.request(peer, code, request, append, position);
      },
    });
  }

  /** `peer`: whose frame it was. Guests end when their home says so, which is seen to there. */
  private endSession(session: number, peer: Peer | undefined): void {
    const homes = this.options.homes();
    if (homes !== undefined && !homes.isHome(session)) return;
    const asked = this.options.engine.counters[ENDS_ASKED] as number;
    const isAsked = peer?.data.session === session && asked > this.asked;
    if (isAsked) this.asked = asked;
    this.disconnect(session, isAsked);
    if (homes !== undefined) this.afterAll(() => homes.onEnded(session, isAsked));
  }

  private request(
    peer: Peer,
    code: OperationCode,
    request: WatchRequest,
    append: number,
    position: number,
  ): void {
    const { watches } = this.options;
    if (code === OperationCode.Unwatch) watches.unwatch(peer, request);
    else watches.watch(peer, request, append, position);
  }
}
