// The machine: what it is, which cores the sides get, what is installed, free ports, and how much
// memory a process has. Where data lies is in `storage.ts`.

import { accessSync, constants, readFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { cpus, platform, release, totalmem } from 'node:os';
import { delimiter, join } from 'node:path';

/** Clock ticks a second, as `/proc` counts them on Linux. */
const TICKS = 100;

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGigabytes: number;
  readonly system: string;
  readonly node: string;
}

export function describeMachine(): Machine {
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: cpus().length,
    memoryGigabytes: Math.round(totalmem() / 2 ** 30),
    system: `${platform()} ${release()}`,
    node: process.version,
  };
}

/** One core for whatever server is measured and one for whatever loads it: the same for all sides. */
export interface Pinning {
  readonly server: number | undefined;
  readonly generator: number | undefined;
  /** For the report. */
  readonly statement: string;
}

export function choosePinning(): Pinning {
  const none = (why: string): Pinning => ({
    server: undefined,
    generator: undefined,
    statement: `no process is pinned to a core (${why})`,
  });
  if (findProgram('taskset') === undefined) return none('taskset is not installed');
  const [server, generator] = allowedCores();
  if (server === undefined || generator === undefined) return none('there are not two cores');
  return {
    server,
    generator,
    statement:
      `every server with all its threads runs on core ${server}, every load generator and client ` +
      `process on core ${generator}`,
  };
}

/** Those that this process may use; none where the system does not say. */
export function allowedCores(): number[] {
  const list = statusField('self', 'Cpus_allowed_list') ?? '';
  return list.split(',').flatMap((range) => {
    const [first = Number.NaN, last = first] = range.split('-').map(Number);
    if (!Number.isInteger(first) || !Number.isInteger(last)) return [];
    return Array.from({ length: last - first + 1 }, (_, index) => first + index);
  });
}

/** Resident bytes of a process, or undefined where the system does not say. */
export function residentBytes(pid: number): number | undefined {
  const kilobytes = /^(\d+) kB$/.exec(statusField(`${pid}`, 'VmRSS') ?? '')?.[1];
  return kilobytes === undefined ? undefined : Number(kilobytes) * 1024;
}

/** Seconds of processor time of a process, its threads included. Throws where the system does not say. */
export function processorSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS;
}

function statusField(pid: string, name: string): string | undefined {
  let status: string;
  try {
    status = readFileSync(`/proc/${pid}/status`, 'utf8');
  } catch {
    return undefined; // No /proc on this system, or the process is gone.
  }
  return new RegExp(`^${name}:\\s*(.*)$`, 'm').exec(status)?.[1];
}

/** Daemons are in `sbin`, which is not on everyone's path. */
const MORE_FOLDERS = ['/usr/sbin', '/usr/local/sbin'];

/** Where a program is, or undefined. */
export function findProgram(name: string): string | undefined {
  const path = process.env.PATH ?? '';
  for (const folder of [...path.split(delimiter), ...MORE_FOLDERS]) {
    if (folder === '') continue;
    const file = join(folder, name);
    try {
      accessSync(file, constants.X_OK);
      return file;
    } catch {
      // Not in this folder.
    }
  }
  return undefined;
}

/** A port on loopback that nobody uses at the moment, for servers that cannot choose one. */
export async function freePort(): Promise<number> {
  const server = createServer();
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host: '127.0.0.1', port: 0 }, () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });
}
