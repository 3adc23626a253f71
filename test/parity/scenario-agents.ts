// The commands of scenarios that are about sessions, locks and fences, and how what they leave is shown.

import { WAIT_FOREVER } from '../../ts/wire/layout.js';
import {
  cancelLock,
  downgrade,
  endSession,
  ephemeral,
  extend,
  fenced,
  listLocks,
  lock,
  renew,
  unlock,
} from '../drive/coordination.js';
import type { Drive } from '../drive/drive.js';
import { effectDetail, effectsOf } from '../drive/effects.js';
import { lockPage } from '../drive/lock-view.js';
import type { Notice } from '../drive/notices.js';
import type { Operation } from '../drive/operations.js';

type Named = ReadonlyMap<string, Uint8Array>;

/** The words that stand alone and mean something. */
export const AGENT_FLAGS = ['shared', 'reentrant', 'ephemeral', 'once', 'wrong-secret'];

/** The operation of a command, or undefined where it is none of sessions and locks. */
export function agentOperationOf(
  name: string,
  args: readonly Uint8Array[],
  named: Named,
): Operation | undefined {
  const [key = new Uint8Array(0), second = new Uint8Array(0)] = args;
  const number = Number(ascii(second));
  switch (name) {
    case 'lock': {
      const [permits, upgrade] = [figure(named, 'permits'), figure(named, 'upgrade')];
      const waits = named.get('wait');
      return lock(key, {
        shared: named.has('shared'),
        reentrant: named.has('reentrant'),
        leaseMs: figure(named, 'lease') ?? 0,
        waitMs:
          waits === undefined
            ? 0
            : ascii(waits) === 'forever'
              ? WAIT_FOREVER
              : Number(ascii(waits)),
        ...(permits === undefined ? {} : { permits }),
        ...(upgrade === undefined ? {} : { upgrade }),
      });
    }
    case 'unlock':
      return unlock(key, number);
    case 'downgrade':
      return downgrade(key, number);
    case 'extend':
      return extend(key, number, figure(named, 'lease') ?? 0);
    case 'cancel':
      return cancelLock(key, number);
    case 'renew':
      return renew();
    case 'end-session':
      return endSession();
    case 'list-locks':
      return listLocks(key);
    default:
      return undefined;
  }
}

/** An operation with what its words add: its id, a fence, the session, once. */
export function withWords(operation: Operation, named: Named): Operation {
  let changed = operation;
  const fence = named.get('fence');
  if (fence !== undefined) {
    const [, name = '', token = ''] = /^(.*):(\d+)$/.exec(ascii(fence)) ?? [];
    changed = fenced(name, Number(token), changed);
  }
  if (named.has('ephemeral')) changed = ephemeral(changed);
  if (named.has('once')) changed = { ...changed, flags: (changed.flags ?? 0) | 0x80 };
  const id = figure(named, 'id');
  return id === undefined ? changed : { ...changed, id };
}

/** Records that are not of plain keys; undefined for one that is. */
export function showAgentRecords(recordBytes: Uint8Array): (string | undefined)[] {
  return effectsOf(recordBytes).map((effect) =>
    effect.flags === 0 && ['put', 'delete', 'expire', 'touch'].includes(effect.kind)
      ? undefined
      : `  record ${effectDetail({ ...effect, back: 0 })}`,
  );
}

export function showNotice(notice: Notice): string {
  if (notice.kind === 'ended') return `  session ${notice.session} has ended`;
  if (notice.kind === 'request') return `  the node is asked #${notice.operation.id}`;
  const { id, status, revision, count, ttlMs } = notice.result;
  const parts = [`  session ${notice.session} hears #${id} ${status}`];
  if (revision !== 0) parts.push(`revision=${revision}`);
  if (ttlMs !== 0) parts.push(`ttl=${ttlMs}`);
  if (count !== 0) parts.push(`count=${count}`);
  return parts.join(' ');
}

/** Every lock with its holders and waiters, a line each. */
export function showLocks(drive: Drive): string[] {
  const { locks } = lockPage(drive, '');
  const lines = locks.flatMap(({ name, holdsShown, waitsShown }) => [
    ...holdsShown.map(({ token, session, mode, depth, since, lease }) => {
      const until = lease === 0 ? '' : ` until=${lease}`;
      return `${name}: ${mode} by ${session} token=${token} depth=${depth} since=${since}${until}`;
    }),
    ...waitsShown.map(({ session, id, mode, since, lease, upgrade }) => {
      const until = lease === 0 ? '' : ` until=${lease}`;
      return `${name}: ${session}#${id} waits for ${upgrade ? 'an upgrade' : mode} since=${since}${until}`;
    }),
  ]);
  return lines.length === 0 ? ['no locks'] : lines;
}

function figure(named: Named, name: string): number | undefined {
  const word = named.get(name);
  return word === undefined ? undefined : Number(ascii(word));
}

function ascii(word: Uint8Array): string {
  return Buffer.from(word).toString('latin1');
}
