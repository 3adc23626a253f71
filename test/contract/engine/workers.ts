// Several engines as one node: fences whose lock is another worker's, revisions and counters in shared
// memory, sessions with something everywhere.

import { describe, expect, it } from 'vitest';
import { type EngineOptions, OPERATION_CODE_COUNT } from '../../../ts/engine/engine.js';
import { ROUTING_BYTES } from '../../../ts/shared/layout.js';
import { OperationCode } from '../../../ts/wire/generated/rondo/wire/operation-code.js';
import { WORKERS_MAX } from '../../../ts/wire/limits.js';
import { STATUS_COUNT, Status } from '../../../ts/wire/status.js';
import { fenced, listLocks, lock, once, renew, unlock, waitFor } from '../../drive/coordination.js';
import { Drive } from '../../drive/drive.js';
import { type CreateEngine, OPTIONS } from '../../drive/engines.js';
import { get, increment, put, scan } from '../../drive/operations.js';
import { routingTable } from '../../drive/routing.js';
import type { Joined, Workers } from '../../drive/workers.js';
import { drives, nodes } from './drives.js';

const answers = ({ results }: Joined) =>
  results.map(({ status, revision }) => `${status} ${revision}`);

export function workersContract(create: CreateEngine): void {
  const node = nodes(create);
  const drive = drives(create);
  const revisionsOf = (n: Workers) =>
    n.drives[0] &&
    Array.from({ length: n.options.partitions }, (_, partition) =>
      n.at(partition % n.count).engine.revisionOf(partition),
    );

  describe('published revisions', () => {
    it('are those of each partition after every call that moved them', () => {
      const n = node(3);
      const session = n.session(1);
      const published = () => Array.from(n.revisions, Number);
      const calls: (() => unknown)[] = [
        () => n.run(0, 0, ...[0, 1, 2, 1].map((worker) => put(n.key(worker), 'v', { ttl: 50 }))),
        () => n.open(session),
        () => n.run(2, session, lock(n.key(0)), lock(n.key(1)), lock(n.key(2))),
        () => n.at(0).advance(n.at(0).now + 60),
        () => n.at(1).advance(n.at(1).now + 60),
        () => n.at(0).endGuest(session),
        () => n.at(1).refuseWait(session, 1),
      ];
      let before = published();
      for (const [index, call] of calls.entries()) {
        call();
        expect(published(), `call ${index}`).toEqual(revisionsOf(n));
        if (index < 6) expect(published()).not.toEqual(before);
        before = published();
      }
    });

    it('are those of own partitions alone', () => {
      const n = node(2);
      n.revisions.fill(9n);
      n.run(0, 0, put(n.key(0), 'v'), put(n.key(1), 'v'));
      const moved = Array.from(n.revisions, Number).filter((revision) => revision !== 9);
      expect(moved).toEqual([1, 1]);
    });

    it('come with a fold and a restore too', () => {
      const made = node(2);
      const key = made.key(0, 'k');
      const record = made.at(0).run(put(key, 'v')).recordBytes;
      const sum = (n: Workers) => n.revisions.reduce((total, one) => total + one);
      const folded = node(2);
      folded.at(0).engine.fold(record);
      expect(sum(folded)).toBe(1n);
      const restored = node(2);
      restored.at(0).engine.restore(record);
      expect(sum(restored)).toBe(1n);
      const revisions = Float64Array.from({ length: 64 }, (_, at) => (at % 2 === 0 ? at + 3 : 0));
      restored.at(0).engine.restoreRevisions(revisions, 0);
      expect(Array.from(restored.revisions, Number)).toEqual([...revisions]);
    });
  });

  describe('a fence whose lock is of another worker', () => {
    it('is checked with what that worker has come to', () => {
      const n = node(2);
      const session = n.session(0);
      n.open(session);
      const name = n.key(0, 'lock');
      const key = n.key(1, 'k');
      const token = n.run(1, session, lock(name)).results[0]!.revision;
      const shows = (shown: number) => answers(n.run(1, 0, fenced(name, shown, put(key, 'v'))))[0];
      const come = n.at(0).engine.revisionOf(n.at(0).engine.partitionOf(Buffer.from(name)));
      expect(shows(come + 1)).toBe('FENCED 0');
      expect(shows(token)).toMatch(/^OK/);
      n.run(1, session, unlock(name, token));
      const newer = n.run(0, session, lock(name)).results[0]!.revision;
      expect(newer).toBeGreaterThan(token);
      expect(shows(newer)).toMatch(/^OK/);
      expect(shows(token)).toBe(`FENCED ${newer}`);
      expect(shows(newer + 1)).toBe('FENCED 0');
    });

    it('with a lock of the same partition is checked with its holds, as ever', () => {
      const n = node(2);
      const session = n.session(0);
      n.open(session);
      const tag = n.key(1);
      const token = n.run(0, session, lock(`${tag}lock`)).results[0]!.revision;
      const write = (shown: number) =>
        n.run(0, session, fenced(`${tag}lock`, shown, put(`${tag}k`, 'v')));
      expect(answers(write(token))[0]).toMatch(/^OK/);
      expect(answers(write(token + 1))).toEqual([`FENCED ${token}`]);
    });

    it('with a lock of another partition of the same worker goes by its own figures', () => {
      const n = node(2, { partitions: 64 });
      const session = n.session(0);
      n.open(session);
      const name = n.key(0, 'lock');
      const key = Array.from({ length: 99 }, (_, at) => `k${at}`).find(
        (each) =>
          n.ownerOf(Buffer.from(each)) === 0 &&
          n.at(0).engine.partitionOf(Buffer.from(each)) !==
            n.at(0).engine.partitionOf(Buffer.from(name)),
      ) as string;
      // What others may have written there is not believed.
      n.revisions.fill(0n);
      const token = n.run(0, session, lock(name)).results[0]!.revision;
      n.revisions.fill(0n);
      expect(answers(n.run(0, session, fenced(name, token, put(key, 'v'))))[0]).toMatch(/^OK/);
    });
  });

  describe('counters', () => {
    it('are the memory of the caller', () => {
      const memory = new SharedArrayBuffer(8 * OPERATION_CODE_COUNT * STATUS_COUNT + 16);
      const counters = new Float64Array(memory, 16);
      const d = drive({ counters });
      d.run(put('k', 'v'), get('k'), get('none'));
      const at = (code: number, status: Status) => counters[code * STATUS_COUNT + status];
      expect(at(OperationCode.Put, Status.Ok)).toBe(1);
      expect(at(OperationCode.Get, Status.Ok)).toBe(1);
      expect(at(OperationCode.Get, Status.NotFound)).toBe(1);
      expect(d.counted(OperationCode.Put, Status.Ok)).toBe(1);
      expect(new Float64Array(memory, 0, 2)).toEqual(new Float64Array(2));
    });

    it('count answers that come later too', () => {
      const counters = new Float64Array(OPERATION_CODE_COUNT * STATUS_COUNT);
      const d = drive({ counters, partitions: 1 });
      for (const id of [1, 2]) d.openSession(id);
      d.as(1, lock('a'));
      d.as(2, waitFor('a', 1));
      d.as(1, unlock('a', 3));
      expect(counters[OperationCode.Lock * STATUS_COUNT]).toBe(2);
    });
  });

  describe('options of an engine among several', () => {
    const routing = {
      worker: 0,
      table: routingTable([0], 1),
      revisions: new BigUint64Array(64),
    };
    it.each<[string, Partial<EngineOptions>]>([
      ['a worker below 0', { routing: { ...routing, worker: -1 } }],
      ['a worker too many', { routing: { ...routing, worker: WORKERS_MAX } }],
      ['half a worker', { routing: { ...routing, worker: 0.5 } }],
      ['a short table', { routing: { ...routing, table: new Uint32Array(ROUTING_BYTES / 4 - 1) } }],
      [
        'revisions of other partitions',
        { routing: { ...routing, revisions: new BigUint64Array(63) } },
      ],
      ['short counters', { counters: new Float64Array(OPERATION_CODE_COUNT * STATUS_COUNT - 1) }],
      ['long counters', { counters: new Float64Array(OPERATION_CODE_COUNT * STATUS_COUNT + 1) }],
    ])('%s are refused', (_name, options) => {
      const invalid = expect.objectContaining({ name: 'EngineError', code: 'OPTIONS_INVALID' });
      expect(() => create({ ...OPTIONS, ...options })).toThrowError(invalid);
    });
  });

  describe.each([2, 4])('%i engines as one node', (count) => {
    it('answer a frame of all, whichever gets it', () => {
      for (let worker = 0; worker < count; worker++) {
        const n = node(count);
        const keys = Array.from({ length: 3 * count }, (_, at) => n.key(at % count, `${at}`));
        expect(answers(n.run(worker, 0, ...keys.map((key) => put(key, key))))).toHaveLength(
          keys.length,
        );
        const { results } = n.run(worker, 0, ...keys.map((key) => get(key)));
        expect(results.map(({ id }) => id)).toEqual(keys.map((_, at) => at + 1));
        expect(results.map(({ value }) => Buffer.from(value).toString())).toEqual(keys);
      }
    });

    it('answer each operation once while one of them is not there', () => {
      const n = node(count);
      n.setServing(1, false);
      const puts = Array.from({ length: 3 * count }, (_, at) =>
        put(n.key(at % count, `${at}`), 'v'),
      );
      const { results } = n.run(0, 0, ...puts);
      expect(results.map(({ id, status }) => `${id} ${status}`)).toEqual(
        puts.map((_, at) => `${at + 1} ${at % count === 1 ? 'UNAVAILABLE' : 'OK'}`),
      );
      expect(n.drives.map(({ keys }) => keys)).toEqual(n.drives.map((_, at) => (at === 1 ? 0 : 3)));
      n.setServing(1, true);
      expect(answers(n.run(0, 0, ...puts)).every((answer) => answer.startsWith('OK'))).toBe(true);
    });

    it('scan and list the share of the worker that is named', () => {
      const n = node(count);
      const session = n.session(1);
      n.open(session);
      for (let at = 0; at < 40; at++) n.run(0, session, put(`k${at}`, 'v'), lock(`l${at}`));
      const shares = n.drives.map((_, worker) => {
        const keys = n.run(0, 0, { ...scan('k'), ttlMs: worker + 1 }).results.slice(0, -1);
        const locks = n.run(0, 0, { ...listLocks('l'), ttlMs: worker + 1 }).results.slice(0, -1);
        for (const { key } of [...keys, ...locks]) expect(n.ownerOf(key)).toBe(worker);
        return [keys.length, locks.length] as const;
      });
      expect(shares.reduce((sum, [keys]) => sum + keys, 0)).toBe(40);
      expect(shares.reduce((sum, [, locks]) => sum + locks, 0)).toBe(40);
      const tagged = n.key(1, 'tagged');
      n.run(0, 0, put(tagged, 'v'));
      expect(n.run(0, 0, scan(n.key(1))).results).toHaveLength(2);
    });

    it('give a session its signs of life at home alone', () => {
      const n = node(count);
      const session = n.session(1);
      n.open(session, 1000);
      const now = n.at(0).now;
      n.run(0, session, lock(n.key(0)));
      const at = (ms: number) => {
        for (const d of n.drives) d.now = now + ms;
      };
      at(900);
      expect(answers(n.run(0, session, renew()))).toEqual(['OK 0']);
      at(1500);
      // Not a word to its home.
      expect(answers(n.run(0, session, put(n.key(0), 'v')))[0]).toMatch(/^OK/);
      const { told: heard } = n.advance(now + 1900);
      expect(heard).toEqual(
        n.drives.map((_, w) => (w < 2 ? [`${session} ended`] : expect.anything())),
      );
    });

    it('remember answers where the operation was carried out', () => {
      const n = node(count);
      const session = n.session(0);
      n.open(session);
      const add = once(5, increment(n.key(1, 'n'), 1));
      const [first, again] = [n.run(0, session, add), n.run(1, session, add)];
      expect(again.results).toEqual(first.results);
    });

    it('make a restart the state that was', () => {
      const n = node(count);
      const session = n.session(0);
      n.open(session);
      const log: Uint8Array[] = [];
      for (let at = 0; at < 20; at++) {
        const d = n.at(1);
        d.engine.admitSession(session);
        log.push(d.as(session, put(n.key(1, `${at}`), 'v'), lock(n.key(1, `l${at}`))).recordBytes);
      }
      const again = new Drive(n.engine(1));
      again.engine.fold(Buffer.concat(log));
      expect([...again.engine.guests()]).toEqual([session]);
      const all = (d: Drive) => d.run({ ...scan('', { limit: 1000 }), ttlMs: 2 }).results;
      expect(all(again)).toEqual(all(n.at(1)));
      again.engine.close();
    });
  });
}
