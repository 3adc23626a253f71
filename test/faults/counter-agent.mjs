// An agent of the shared counter: takes the lock, reads the counter, waits a little, writes one more, and
// notes in its journal what became of that. It reads and writes over a connection of its own, as one that
// keeps the lock in one place and the data in another: that one lives on when the session has ended, so that
// nothing but the fence stands between a former holder and the counter. A process of its own, so that it can be paused and killed.
// Arguments: URL, journal, mode. Ends with SIGTERM.
//
// Modes: `same`: lock and counter share a partition, so that a token is compared with the present holder's.
// `other`: they do not; only tokens that the counter's partition has seen count, so the agent shows its own
// with a write before it reads. `unfenced`: nothing keeps a former holder from writing; the canary.

import { appendFileSync } from 'node:fs';
import { connect } from '../../dist/ts/client/index.js';

const [url, journal, mode] = process.argv.slice(2);
const LOCK = mode === 'other' ? 'faults/{lock}' : 'faults/{counter}/lock';
const COUNTER = 'faults/{counter}';
const CLAIM = 'faults/{counter}/claim';
const SESSION_TTL_MS = 1_000;
const CALL_TIMEOUT_MS = 3_000;
const THINK_MS_MAX = 15;
/** One time in four it takes longer, so that a pause meets it there. */
const LONG_MS_MAX = 250;

const note = (what, value) => appendFileSync(journal, `${what} ${value}\n`);
const think = () => {
  const most = Math.random() < 0.25 ? LONG_MS_MAX : THINK_MS_MAX;
  return new Promise((resolve) => setTimeout(resolve, Math.random() * most));
};

let isRunning = true;
process.on('SIGTERM', () => {
  isRunning = false;
});

const rondo = connect({
  url,
  timeoutMs: CALL_TIMEOUT_MS,
  session: { ttlMs: SESSION_TTL_MS },
  retry: { delayMsMax: 200 },
});

const store = connect({
  url,
  timeoutMs: CALL_TIMEOUT_MS,
  session: false,
  retry: { delayMsMax: 200 },
});

async function increment() {
  const lock = await rondo.lock(LOCK, { waitMs: CALL_TIMEOUT_MS });
  try {
    const { fence } = lock;
    if (mode === 'other') await store.kv.put(CLAIM, lock.token, { fence });
    const next = ((await store.kv.get(COUNTER)) ?? 0) + 1;
    note('thinks', next);
    await think();
    try {
      await store.kv.put(COUNTER, next, mode === 'unfenced' ? {} : { fence });
      note('done', next);
    } catch (error) {
      note(error.maybeApplied ? 'unknown' : 'refused', next);
      if (error.code === 'FENCED') note('fenced', next);
    }
  } finally {
    await lock.release().catch(() => {
      // Lost before, or the node is away: its session ends by itself.
    });
  }
}

note('begun', process.pid);
while (isRunning) {
  try {
    await increment();
  } catch {
    // The node is away, or the session was lost: try again.
    await think();
  }
}
await store.close();
await Promise.race([rondo.close(), new Promise((resolve) => setTimeout(resolve, 1000))]);
process.exit(0);
