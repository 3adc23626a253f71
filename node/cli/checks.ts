// What `rondo doctor` looks at. Each check says what it found and, where something is wrong, what to do.

import { availableParallelism, totalmem } from 'node:os';
import { getHeapStatistics } from 'node:v8';
import { chooseEngine } from '../../ts/engine/load.js';
import { workersOf } from '../config/config.js';
import { checkExposure } from '../config/exposure.js';
import type { Settings } from '../config/settings.js';
import { formatSize } from '../config/size.js';
import { readTokenFile } from '../config/tokens.js';
import { messageOf } from '../errors.js';
import { probeListen } from '../transport/listen-failure.js';
import { chooseTransport, type TransportChoice } from '../transport/load.js';
import { checkData } from './check-data.js';

export interface Finding {
  readonly name: string;
  /** `warning`: a node runs, with less than it could have. `broken`: it does not start. */
  readonly status: 'ok' | 'warning' | 'broken';
  readonly found: string;
  /** What to do; empty where all is well. */
  readonly advice: string;
}

/** The oldest Node that works, as in package.json. */
const NODE_LEAST = [20, 19] as const;
/** File descriptors that a node needs beside its connections: log, event loop, addon, listener. */
const DESCRIPTORS_OWN = 64;
const HEALTH_TIMEOUT_MS = 1_000;

export async function runChecks(settings: Settings): Promise<Finding[]> {
  return [
    checkNode(process.versions.node),
    guarded('engine', () => checkEngine(settings)),
    guarded('transport', () => checkTransport(settings)),
    guarded('workers', () => checkWorkers(settings, availableParallelism())),
    guarded('access', () => checkAccess(settings)),
    guarded('data', () => checkData(settings)),
    await checkPort(settings),
    checkDescriptors(settings.connectionsMax, descriptorLimit()),
    checkMemory(settings, Math.min(totalmem(), memoryConstraint())),
  ];
}

export function checkNode(version: string): Finding {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const isOld = major < NODE_LEAST[0] || (major === NODE_LEAST[0] && minor < NODE_LEAST[1]);
  return isOld
    ? finding('node', 'broken', `Node ${version}`, `install Node ${NODE_LEAST.join('.')} or newer`)
    : finding('node', 'ok', `Node ${version}, ${process.platform} ${process.arch}`);
}

function checkEngine(settings: Settings): Finding {
  const { kind, reason } = chooseEngine(settings.engine);
  const isFallback = settings.engine === 'auto' && kind === 'ts';
  return finding(
    'engine',
    isFallback ? 'warning' : 'ok',
    `${kind}: ${reason}`,
    isFallback ? 'slower than the native one; build that with: npm run build:native' : '',
  );
}

function checkTransport(settings: Settings): Finding {
  const { kind, reason } = chooseTransport(settings.transport);
  const isFallback = settings.transport === 'auto' && kind === 'ws';
  return finding(
    'transport',
    isFallback ? 'warning' : 'ok',
    `${kind}: ${reason}`,
    isFallback
      ? 'slower than uWebSockets.js; use a platform and a Node that it has a binary for'
      : '',
  );
}

export function checkWorkers(
  settings: Settings,
  cores: number,
  transport: Pick<TransportChoice, 'kind' | 'sharesPorts'> = chooseTransport(settings.transport),
): Finding {
  const workers = workersOf(settings, cores);
  const found = `${workers === 1 ? '1 worker' : `${workers} workers`} on ${cores} cores`;
  if (workers === 1) return finding('workers', 'ok', found);
  if (!transport.sharesPorts) {
    const advice = `${transport.kind} on ${process.platform} can't share a port: worker 0 takes all connections there; clients that route reach the others directly`;
    return finding('workers', 'warning', `${found}, one acceptor`, advice);
  }
  if (workers > cores) {
    const advice = `more workers than cores share them: --workers ${Math.max(1, cores - 1)}`;
    return finding('workers', 'warning', found, advice);
  }
  return finding('workers', 'ok', `${found}, which share the port`);
}

function checkAccess(settings: Settings): Finding {
  const file = settings.tokenFile === '' ? undefined : readTokenFile(settings.tokenFile);
  const exposure = checkExposure(settings.host, file !== undefined, settings.insecure);
  const found = `${settings.host}, ${file ? `${file.tokens.count} tokens` : 'no tokens'}`;
  const warnings = [...(file?.warnings ?? []), ...(exposure ? [exposure] : [])];
  return finding('access', warnings.length > 0 ? 'warning' : 'ok', found, warnings.join('; '));
}

async function checkPort(settings: Settings): Promise<Finding> {
  const { host, port } = settings;
  const problem = await probeListen(host, port);
  if (!problem) return finding('port', 'ok', port === 0 ? 'any free port' : `${port} is free`);
  if (problem.code === 'PORT_IN_USE' && (await isHealthy(host, port))) {
    return finding(
      'port',
      'warning',
      `${port} is in use by what answers like a Rondo node`,
      'a second one needs another --port',
    );
  }
  return finding('port', 'broken', `${port} can't be used`, messageOf(problem));
}

async function isHealthy(host: string, port: number): Promise<boolean> {
  try {
    const signal = AbortSignal.timeout(HEALTH_TIMEOUT_MS);
    const at = host.includes(':') ? `[${host}]` : host;
    const response = await fetch(`http://${at}:${port}/healthz`, { signal });
    return response.ok && ((await response.json()) as { status?: string }).status === 'ok';
  } catch {
    // Whatever listens there is no node; the caller says that the port is taken.
    return false;
  }
}

/** `limit` undefined: the system has none that could be read. */
export function checkDescriptors(connectionsMax: number, limit: number | undefined): Finding {
  if (limit === undefined) return finding('descriptors', 'ok', 'no limit known');
  const needed = connectionsMax + DESCRIPTORS_OWN;
  const found = `${limit} file descriptors, connectionsMax ${connectionsMax}`;
  if (limit >= needed) return finding('descriptors', 'ok', found);
  const least = Math.max(1, limit - DESCRIPTORS_OWN);
  const advice = `raise the limit (ulimit -n ${needed}) or start with --connections-max ${least}`;
  return finding('descriptors', 'warning', found, advice);
}

export function checkMemory(settings: Pick<Settings, 'memoryMax'>, available: number): Finding {
  const { memoryMax } = settings;
  const heap = getHeapStatistics().heap_size_limit;
  const found = `${formatSize(available)} on this machine, JavaScript heap ${formatSize(heap)}`;
  if (memoryMax === 0) {
    const advice = `set --memory-max, or writes go on until the process is killed`;
    return finding('memory', 'warning', `${found}, memoryMax not set`, advice);
  }
  const all = `${found}, memoryMax ${formatSize(memoryMax)}`;
  if (memoryMax > available * 0.8) {
    const advice = `set --memory-max to ${formatSize(Math.floor(available * 0.6))} or less`;
    return finding('memory', 'warning', all, advice);
  }
  return finding('memory', 'ok', all);
}

/** The soft limit of open files; undefined where there is none or the system does not say. */
function descriptorLimit(): number | undefined {
  const report = process.report.getReport() as { userLimits?: { open_files?: { soft?: unknown } } };
  const soft = Number(report.userLimits?.open_files?.soft);
  return Number.isFinite(soft) ? soft : undefined;
}

/** What a container allows this process; infinite where nothing does. */
function memoryConstraint(): number {
  return process.constrainedMemory() || Number.POSITIVE_INFINITY;
}

function guarded(name: string, check: () => Finding): Finding {
  try {
    return check();
  } catch (error) {
    return finding(name, 'broken', 'does not work', messageOf(error));
  }
}

export function finding(
  name: string,
  status: Finding['status'],
  found: string,
  advice = '',
): Finding {
  return { name, status, found, advice };
}
