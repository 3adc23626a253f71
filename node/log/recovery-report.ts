// What recovery has found, said to whoever runs the node: also what it could not keep.

import type { Logger } from 'pino';
import type { RecoveredLog } from './local/recovery.js';
import type { WorkerLog } from './local/worker-logs.js';

type Recovered = Pick<RecoveredLog, 'records' | 'bytes' | 'cut' | 'undecided' | 'damagedSnapshots'>;

export function reportRecovery(
  logger: Pick<Logger, 'info' | 'warn' | 'error'>,
  directory: Pick<WorkerLog, 'path' | 'worker' | 'owners'>,
  recovered: Recovered,
  durationMs: number,
): void {
  const { records, bytes, cut, undecided, damagedSnapshots } = recovered;
  const { path: dataDir, worker, owners } = directory;
  const log = owners === undefined ? { dataDir } : { dataDir, log: worker };
  const fields = { ...log, records, bytes, durationMs: Math.round(durationMs) };
  logger.info({ event: 'recovered', ...fields }, `recovered ${records} records`);
  if (cut !== undefined) {
    const what = cut.batches === 1 ? 'the last write was' : `the last ${cut.batches} writes were`;
    logger.warn(
      { event: 'log_cut', ...cut },
      `${what} cut short by a crash and left out: never synced, and so never promised by --durability sync; interval:<ms> takes this loss`,
    );
  }
  if (undecided !== undefined) {
    const { file, offset } = undecided;
    logger.error(
      { event: 'log_end_undecided', ...undecided },
      `values behind the end of the log, in ${file} from byte ${offset} on, look so much like writes that whether writes are missing there could not be told. Compare with a backup if the disk may be damaged`,
    );
  }
  for (const damage of damagedSnapshots) {
    const message = `an older snapshot stands in for a damaged one: ${damage.message}`;
    logger.error({ event: 'snapshot_damaged', err: damage }, message);
  }
}
