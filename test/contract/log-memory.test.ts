import { realClock } from '../../node/clock.js';
import { MemoryLog } from '../../node/log/memory-log.js';
import { PARTITIONS } from '../drive/log.js';
import { type LogFactory, logContract } from './log.contract.js';

const open =
  (delayMs: number | undefined): LogFactory =>
  async (events, how) => {
    const options = { partitions: PARTITIONS, clock: realClock, events };
    const log = new MemoryLog(delayMs === undefined ? options : { ...options, delayMs });
    if (how === 'faulty') log.failAtFlush();
    return log;
  };

logContract('memory', open(undefined));
logContract('memory, with a delay', open(1));
