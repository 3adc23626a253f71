// Sessions and locks once more, as plainly as can be: lists that are searched from end to end, one partition,
// no bounds. The model that engines are compared with; what it says is in `ts/engine/coordination.ts`.

import { LOCK_EXCLUSIVE, LOCK_PERMIT, LOCK_SHARED, WAIT_FOREVER } from '../../ts/wire/layout.js';

export interface Request {
  readonly name: string;
  readonly id: number;
  readonly mode: number;
  readonly permits: number;
  /** 0: try. */
  readonly waitMs: number;
  /** 0: none. */
  readonly leaseMs: number;
  readonly reentrant: boolean;
  /** The token of the hold to be upgraded; 0: none. */
  readonly upgrade: number;
}

interface Session {
  readonly id: number;
  readonly ttlMs: number;
  deadline: number;
}

export interface Hold {
  readonly name: string;
  readonly token: number;
  readonly session: number;
  readonly id: number;
  mode: number;
  depth: number;
  /** 0: none. */
  lease: number;
}

interface Wait extends Request {
  readonly session: number;
  /** 0: none. */
  readonly deadline: number;
  /** The order in which waits began. */
  readonly began: number;
}

export class NaiveLocks {
  now = 0;
  revision = 0;
  sessions: Session[] = [];
  /** In order of grant. */
  holds: Hold[] = [];
  /** Of one lock: in order of its queue. */
  waits: Wait[] = [];
  /** What the present call makes and tells, as `effects` and `told` say it. */
  effects: string[] = [];
  told: string[] = [];
  private begun = 0;

  /** A call begins: time moves on, what is due is done. `session`: the one whose frame it is. */
  begin(now: number, session = 0): void {
    this.now = Math.max(this.now, now);
    this.effects = [];
    this.told = [];
    for (;;) {
      const due = [
        ...this.sessions.map((each) => ({ at: each.deadline, act: () => this.end(each.id) })),
        ...this.holds.map((each) => ({ at: each.lease, act: () => this.drop(each) })),
        ...this.waits.map((each) => ({ at: each.deadline, act: () => this.giveUp(each) })),
      ].filter(({ at }) => at !== 0 && at <= this.now);
      if (due.length === 0) break;
      due.sort((a, b) => a.at - b.at)[0]?.act();
    }
    const present = this.session(session);
    if (present !== undefined) present.deadline = this.now + present.ttlMs;
  }

  session(id: number): Session | undefined {
    return this.sessions.find((each) => each.id === id);
  }

  holdsOf(name: string): Hold[] {
    return this.holds.filter((hold) => hold.name === name);
  }

  waitsOf(name: string): Wait[] {
    return this.waits.filter((wait) => wait.name === name);
  }

  /** The newest hold's token; 0 where there is none. */
  newest(name: string): number {
    return this.holdsOf(name).at(-1)?.token ?? 0;
  }

  open(id: number, ttlMs: number): string {
    if (this.session(id) !== undefined) return 'ALREADY_EXISTS';
    this.sessions.push({ id, ttlMs, deadline: this.now + ttlMs });
    this.effect(`session ${id}`);
    return 'OK';
  }

  resume(id: number): string {
    const session = this.session(id);
    if (session === undefined) return 'SESSION_UNKNOWN';
    session.deadline = this.now + session.ttlMs;
    return 'OK';
  }

  end(id: number): void {
    this.sessions = this.sessions.filter((each) => each.id !== id);
    this.effect(`session-end ${id}`);
    const lost = this.holds.filter((hold) => hold.session === id);
    const dropped = this.waits.filter((wait) => wait.session === id);
    this.holds = this.holds.filter((hold) => hold.session !== id);
    this.waits = this.waits.filter((wait) => wait.session !== id);
    for (const { name, token } of lost) this.effect(`hold-end ${name}@${token}`);
    this.told.push(`${id} ended`);
    dropped.sort((a, b) => a.began - b.began);
    for (const { name } of [...lost, ...dropped]) this.settle(name);
  }

  /** The answer, or undefined where it waits. */
  lock(session: number, request: Request): string | undefined {
    const { name, id, mode, upgrade } = request;
    if (this.session(session) === undefined) return 'SESSION_UNKNOWN 0';
    const own = this.holdsOf(name).filter((hold) => hold.session === session);
    const same = own.find((hold) => hold.id === id);
    if (same !== undefined) return `OK ${same.token}`;
    if (this.waitsOf(name).some((wait) => wait.session === session && wait.id === id)) return;
    if (request.reentrant) {
      const covers = (hold: Hold) =>
        hold.mode === mode || (hold.mode === LOCK_EXCLUSIVE && mode === LOCK_SHARED);
      const again = own.filter(covers).at(-1);
      if (again !== undefined) {
        again.depth++;
        this.effect(`hold ${name}@${again.token}`);
        return `OK ${again.token}`;
      }
    }
    if (upgrade !== 0) {
      const hold = own.find(({ token }) => token === upgrade);
      if (hold === undefined || hold.mode === LOCK_PERMIT) return `NOT_HOLDER ${this.newest(name)}`;
      if (hold.mode === LOCK_EXCLUSIVE) return `OK ${upgrade}`;
      if (this.waitsOf(name).some((wait) => wait.upgrade !== 0)) return 'UPGRADE_CONFLICT';
    }
    const isFirst = upgrade !== 0 || this.waitsOf(name).length === 0;
    if (isFirst && this.fits(request)) return `OK ${this.grant(session, request)}`;
    if (request.waitMs === 0) return `LOCK_HELD ${this.newest(name)}`;
    const isAlone = [...this.holds, ...this.waits].every((each) => each.session !== session);
    if (!isAlone && this.closesCycle(session, request)) return 'DEADLOCK';
    const deadline = request.waitMs === WAIT_FOREVER ? 0 : this.now + request.waitMs;
    const wait = { ...request, session, deadline, began: this.begun++ };
    if (upgrade === 0) this.waits.push(wait);
    else this.waits.unshift(wait);
    return undefined;
  }

  unlock(session: number, name: string, token: number): string {
    return this.held(session, name, token, (hold) => {
      if (hold.depth > 1) {
        hold.depth--;
        return `OK ${this.effect(`hold ${name}@${token}`)}`;
      }
      const revision = this.revision + 1;
      this.drop(hold);
      return `OK ${revision}`;
    });
  }

  downgrade(session: number, name: string, token: number): string {
    return this.held(session, name, token, (hold) => {
      if (hold.mode === LOCK_PERMIT) return 'INVALID_ARGUMENT 0';
      if (hold.mode === LOCK_EXCLUSIVE) {
        hold.mode = LOCK_SHARED;
        this.effect(`hold ${name}@${token}`);
        this.settle(name);
      }
      return `OK ${token}`;
    });
  }

  extend(session: number, name: string, token: number, leaseMs: number): string {
    return this.held(session, name, token, (hold) => {
      hold.lease = leaseMs === 0 ? 0 : this.now + leaseMs;
      this.effect(`hold ${name}@${token}`);
      return `OK ${token}`;
    });
  }

  cancel(session: number, name: string, id: number): string {
    if (this.session(session) === undefined) return 'SESSION_UNKNOWN 0';
    const isIt = (each: Hold | Wait) => each.session === session && each.id === id;
    const wait = this.waitsOf(name).find(isIt);
    if (wait !== undefined) {
      this.forget(wait, 'LOCK_CANCELLED');
      return 'OK';
    }
    const hold = this.holdsOf(name).find(isIt);
    return hold === undefined ? 'NOT_FOUND' : `ALREADY_EXISTS ${hold.token}`;
  }

  private held(session: number, name: string, token: number, act: (hold: Hold) => string): string {
    if (this.session(session) === undefined) return 'SESSION_UNKNOWN 0';
    const hold = this.holdsOf(name).find((each) => each.token === token);
    return hold?.session === session ? act(hold) : `NOT_HOLDER ${this.newest(name)}`;
  }

  private effect(text: string): number {
    this.effects.push(text);
    this.revision++;
    return this.revision;
  }

  private drop(hold: Hold): void {
    this.holds = this.holds.filter((each) => each !== hold);
    this.effect(`hold-end ${hold.name}@${hold.token}`);
    this.settle(hold.name);
  }

  private giveUp(wait: Wait): void {
    this.forget(wait, 'LOCK_TIMEOUT');
  }

  private forget(wait: Wait, status: string): void {
    this.waits = this.waits.filter((each) => each !== wait);
    this.told.push(`${wait.session}#${wait.id} ${status} 0`);
    this.settle(wait.name);
  }

  private fits({ name, mode, permits, upgrade }: Request): boolean {
    const holds = this.holdsOf(name);
    if (upgrade !== 0) return holds.length === 1;
    if (mode === LOCK_EXCLUSIVE) return holds.length === 0;
    if (holds.some((hold) => hold.mode !== mode)) return false;
    return mode === LOCK_SHARED || holds.length < permits;
  }

  private grant(session: number, request: Request): number {
    const { name, id, mode, upgrade } = request;
    let { leaseMs: lease } = request;
    if (lease !== 0) lease += this.now;
    let depth = 1;
    if (upgrade !== 0) {
      const before = this.holds.find((hold) => hold.token === upgrade) as Hold;
      ({ depth, lease } = before);
      this.holds = this.holds.filter((hold) => hold !== before);
      this.effect(`hold-end ${name}@${upgrade}`);
    }
    const token = this.revision + 1;
    this.effect(`hold ${name}@${token}`);
    this.holds.push({ name, token, session, id, mode, depth, lease });
    return token;
  }

  private settle(name: string): void {
    for (;;) {
      const [wait] = this.waitsOf(name);
      if (wait === undefined) return;
      // An upgrade whose hold is gone has nothing left to wait for.
      const isOrphan =
        wait.upgrade !== 0 && this.holdsOf(name).every(({ token }) => token !== wait.upgrade);
      if (!isOrphan && !this.fits(wait)) return;
      if ((this.session(wait.session) as Session).deadline <= this.now) {
        this.end(wait.session);
        continue;
      }
      this.waits = this.waits.filter((each) => each !== wait);
      const answer = isOrphan
        ? `NOT_HOLDER ${this.newest(name)}`
        : `OK ${this.grant(wait.session, wait)}`;
      this.told.push(`${wait.session}#${wait.id} ${answer}`);
    }
  }

  private closesCycle(session: number, request: Request): boolean {
    const met = new Set<number>();
    const follow = (blocked: Request & { session: number }, ahead: Wait[]): void => {
      for (const next of this.blockers(blocked, ahead)) {
        // Another task of the asker is waited for, which may go on.
        if (next === session && blocked.name === request.name) continue;
        if (met.has(next)) continue;
        met.add(next);
        for (const wait of this.waits.filter((each) => each.session === next)) {
          const queue = this.waitsOf(wait.name);
          follow(wait, queue.slice(0, queue.indexOf(wait)));
        }
      }
    };
    follow({ ...request, session }, this.waitsOf(request.name));
    return met.has(session);
  }

  /** The sessions that a request waits for. */
  private blockers(
    { session, name, mode, upgrade }: Request & { session: number },
    ahead: Wait[],
  ): number[] {
    const beside = (other: number) => mode !== LOCK_EXCLUSIVE && other === mode;
    const holds = this.holdsOf(name).filter(
      (hold) => hold.token !== upgrade && (upgrade !== 0 || !beside(hold.mode)),
    );
    const waits = upgrade !== 0 ? [] : ahead.filter((wait) => !beside(wait.mode));
    return [...holds, ...waits].map((each) => each.session).filter((each) => each !== session);
  }
}
