// The lock of a data directory: the file LOCK says who has it open. It is linked into place whole, and
// link(2) lets exactly one of several starters do so.
//
// A lock whose owner is gone is taken over by linking the own file to `LOCK.<token of the old one>.next`,
// which again only one can do. The owner is the last of that chain: LOCK, its next, the next of that.
// Whoever was linked and is still the last of the chain that starts at LOCK has won, renames its own
// file over LOCK and removes the rest. A starter that read a LOCK which was replaced since finds that
// the chain no longer leads to it. Tokens are random, so that none comes back.
//
// A pid means something only in its own namespace: whether an owner in another container lives cannot be
// seen. It counts as alive, unless it held the flock, which this process holds now.

import { randomBytes } from 'node:crypto';
import {
  closeSync,
  linkSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { LogError } from '../log.js';
import { systemCode, unreadable } from './data-errors.js';

export const LOCK_NAME = 'LOCK';
export const FLOCK_NAME = 'LOCK.flock';
/** Rounds of losing a race against starters that are gone again at once. */
const ATTEMPTS_MAX = 100;

/** flock(2), exclusive and without waiting: whether the descriptor's file is now locked. */
export type Flock = (descriptor: number) => boolean;

interface Owner {
  readonly pid: number;
  /** Of the process, in ticks since boot; 0 where the platform does not say. */
  readonly start: string;
  /** Of this boot of the machine; empty where the platform does not say. */
  readonly boot: string;
  /** Namespace of the pid; empty where the platform does not say. */
  readonly namespace: string;
  /** Holds the flock for as long as it lives. */
  readonly hasFlock: boolean;
  readonly token: string;
}

export class LockFile {
  private constructor(
    private readonly directory: string,
    private readonly owner: Owner,
    private readonly descriptor: number | undefined,
  ) {}

  /** Throws `DATA_LOCKED` and `DATA_UNREADABLE`. With an addon, flock protects across containers too. */
  static acquire(directory: string, flock?: Flock): LockFile {
    const descriptor = flock === undefined ? undefined : lockDescriptor(directory, flock);
    try {
      return new LockFile(directory, link(directory, flock !== undefined), descriptor);
    } catch (error) {
      if (descriptor !== undefined) closeSync(descriptor);
      throw error instanceof LogError ? error : unreadable(directory, 'lock', error);
    }
  }

  /** Removes the lock if it is still this one. */
  release(): void {
    const path = join(this.directory, LOCK_NAME);
    if (readOwner(path)?.token === this.owner.token) rmSync(path, { force: true });
    if (this.descriptor !== undefined) closeSync(this.descriptor);
  }
}

/** The pid of the process that has the directory open; undefined where none has. */
export function lockedBy(directory: string): number | undefined {
  const last = chainOf(directory).at(-1)?.owner;
  return last !== undefined && isAlive(last) ? last.pid : undefined;
}

function lockDescriptor(directory: string, flock: Flock): number {
  let descriptor: number;
  try {
    descriptor = openSync(join(directory, FLOCK_NAME), 'a', 0o600);
  } catch (cause) {
    throw unreadable(directory, 'lock', cause);
  }
  if (flock(descriptor)) return descriptor;
  closeSync(descriptor);
  throw locked(directory, chainOf(directory).at(-1)?.owner);
}

/** Makes this process the owner. */
function link(directory: string, hasFlock: boolean): Owner {
  const owner = thisProcess(hasFlock);
  const own = join(directory, `${LOCK_NAME}.${owner.token}.tmp`);
  const path = join(directory, LOCK_NAME);
  writeFileSync(own, format(owner), { mode: 0o600, flag: 'wx', flush: true });
  try {
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
      const chain = chainOf(directory);
      const last = chain.at(-1);
      if (last !== undefined && isAlive(last.owner, hasFlock)) throw locked(directory, last.owner);
      const target = last === undefined ? path : last.next;
      if (!tryLink(own, target)) continue;
      if (chainOf(directory).at(-1)?.owner.token === owner.token) {
        if (last !== undefined) renameSync(own, path);
        removeRemains(directory, hasFlock);
        return owner;
      }
      if (last !== undefined) rmSync(target, { force: true });
    }
  } finally {
    rmSync(own, { force: true });
  }
  throw locked(directory, chainOf(directory).at(-1)?.owner);
}

function tryLink(from: string, to: string): boolean {
  try {
    linkSync(from, to);
    return true;
  } catch (error) {
    if (systemCode(error) === 'EEXIST') return false;
    throw error;
  }
}

interface ChainLink {
  readonly owner: Owner;
  /** Where the one that follows it would be. */
  readonly next: string;
}

/** LOCK, the one that takes it over, and so on; the last is the owner. */
function chainOf(directory: string): ChainLink[] {
  const chain: ChainLink[] = [];
  let path = join(directory, LOCK_NAME);
  const seen = new Set<string>();
  for (let owner = readOwner(path); owner !== undefined; owner = readOwner(path)) {
    if (seen.has(owner.token)) break;
    seen.add(owner.token);
    path = join(directory, `${LOCK_NAME}.${owner.token}.next`);
    chain.push({ owner, next: path });
  }
  return chain;
}

/** Removes what starters left behind that were killed or have lost. */
function removeRemains(directory: string, hasFlock: boolean): void {
  for (const name of readdirSync(directory)) {
    if (!isLockRemains(name)) continue;
    const path = join(directory, name);
    const owner = name.endsWith('.tmp') ? readOwner(path) : undefined;
    if (owner === undefined || !isAlive(owner, hasFlock)) rmSync(path, { force: true });
  }
}

/** Whether a file of this name is a starter's, beside LOCK itself. */
export function isLockRemains(name: string): boolean {
  return /^LOCK\.[0-9a-f]+\.(?:tmp|next)$/.test(name);
}

function format({ pid, start, boot, namespace, hasFlock, token }: Owner): string {
  const flock = hasFlock ? 'yes' : 'no';
  return `pid ${pid}\nstart ${start}\nboot ${boot}\nnamespace ${namespace}\nflock ${flock}\ntoken ${token}\n`;
}

const OWNER =
  /^pid (?<pid>\d+)\nstart (?<start>\d+)\nboot (?<boot>[0-9a-f-]*)\nnamespace (?<namespace>.*)\nflock (?<flock>yes|no)\ntoken (?<token>[0-9a-f]+)\n$/;

/** Undefined where there is no such file. What is not a lock's text has an owner that is gone. */
function readOwner(path: string): Owner | undefined {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined;
    throw error;
  }
  const match = OWNER.exec(text)?.groups as Record<string, string> | undefined;
  // A power loss can leave the name without the text; the file's number tells several of them apart.
  const { pid = 0, start = '0', boot = '', namespace = '', flock } = match ?? {};
  const token = match?.token ?? inodeOf(path);
  return { pid: Number(pid), start, boot, namespace, hasFlock: flock === 'yes', token };
}

function inodeOf(path: string): string {
  return statSync(path, { bigint: true, throwIfNoEntry: false })?.ino.toString(16) ?? '0';
}

function thisProcess(hasFlock: boolean): Owner {
  return {
    pid: process.pid,
    start: processOf(process.pid)?.start ?? '0',
    boot: bootId(),
    namespace: pidNamespace(),
    hasFlock,
    token: randomBytes(8).toString('hex'),
  };
}

/** `holdsFlock`: this process does. True also where it cannot be known. */
function isAlive(owner: Owner, holdsFlock = false): boolean {
  if (owner.pid === 0 || owner.boot !== bootId()) return false;
  if (isElsewhere(owner)) return !(holdsFlock && owner.hasFlock);
  try {
    process.kill(owner.pid, 0);
  } catch (error) {
    if (systemCode(error) === 'ESRCH') return false;
  }
  const running = processOf(owner.pid);
  if (running === undefined) return process.platform !== 'linux' || owner.start === '0';
  return running.start === owner.start && !running.isZombie;
}

/** Its pid is one of another namespace. */
function isElsewhere({ namespace }: Owner): boolean {
  return namespace !== pidNamespace();
}

/** What Linux says about a process (proc(5), /proc/pid/stat). */
function processOf(pid: number): { start: string; isZombie: boolean } | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // The name in brackets may hold anything: fields count from its end, state is the first.
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return { start: fields[19] ?? '0', isZombie: fields[0] === 'Z' || fields[0] === 'X' };
  } catch {
    return undefined;
  }
}

function bootId(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
  } catch {
    return '';
  }
}

function pidNamespace(): string {
  try {
    return readlinkSync('/proc/self/ns/pid');
  } catch {
    return '';
  }
}

function locked(directory: string, owner: Owner | undefined): LogError {
  if (owner !== undefined && owner.pid !== 0 && isElsewhere(owner)) {
    const file = join(directory, LOCK_NAME);
    return new LogError(
      'DATA_LOCKED',
      `${directory} was opened by process ${owner.pid} of another container, and whether that one still runs cannot be seen from here. Stop it first. Only if it is certain that no node runs on this directory, remove ${file}`,
    );
  }
  const name = owner === undefined || owner.pid === 0 ? 'another process' : `process ${owner.pid}`;
  return new LogError(
    'DATA_LOCKED',
    `${directory} is open in ${name}. Stop that one first, or give this one a data directory of its own: --data-dir <path>`,
  );
}
