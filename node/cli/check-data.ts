// What `rondo doctor` says of the data directory: whether a node can use it, and how much room it has.

import { accessSync, constants, existsSync, readdirSync, statfsSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import type { Settings } from '../config/settings.js';
import { formatSize } from '../config/size.js';
import { checkFolders } from '../log/local/data-directory.js';
import { lockedBy } from '../log/local/lock-file.js';
import { findLeftovers, readLayout } from '../log/local/worker-logs.js';
import { type Finding, finding } from './checks.js';

/** Segments that the least node fills: one in use, one ready, and room for a snapshot. */
const SEGMENTS_LEAST = 4;

/** Throws `LogError` where a node would not start on it. */
export function checkData(settings: Settings): Finding {
  if (settings.durability === 'none') {
    return finding('data', 'ok', 'durability none: nothing is kept when the node stops');
  }
  const path = resolve(settings.dataDir);
  const isUsed = existsSync(path) && readdirSync(path).length > 0;
  const advice: string[] = [];
  let workers = 1;
  if (isUsed) {
    const layout = readLayout(path);
    const { partitions } = layout;
    if (partitions !== settings.partitions) {
      const found = `${path} has ${partitions} partitions, ${settings.partitions} are asked for`;
      return finding('data', 'broken', found, `start with --partitions ${partitions}`);
    }
    // Throws where folders of logs are missing, or only a lost WORKERS file can explain those that are there.
    checkFolders(layout);
    findLeftovers(layout);
    workers = layout.workers;
    const pid = lockedBy(path);
    if (pid !== undefined)
      advice.push(`process ${pid} uses it: another node needs its own --data-dir`);
  }
  const existing = existingFolder(path);
  accessSync(existing, constants.W_OK);
  const { bavail, bsize } = statfsSync(existing);
  const free = bavail * bsize;
  const needed = workers * SEGMENTS_LEAST * settings.logSegmentBytes;
  if (free < needed) {
    const least = formatSize(needed);
    advice.push(`free space: the log needs ${least} at least, and as much as the data twice more`);
  }
  const used = workers === 1 ? 'data of a node' : `data of a node of ${workers} workers`;
  const state = isUsed ? used : 'to be made';
  const found = `${path}, ${state}, ${formatSize(free)} free, durability ${settings.durability}`;
  return finding('data', advice.length > 0 ? 'warning' : 'ok', found, advice.join('; '));
}

function existingFolder(path: string): string {
  return existsSync(path) ? path : existingFolder(dirname(path));
}
