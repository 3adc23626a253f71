// Drives one client process per side: started once, so that every side's code is warm, and measured
// in turns.

import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { ClientAnswer, ClientOrder, ClientSide } from './client-protocol.js';
import type { Process, Processes } from './processes.js';

const MAIN = fileURLToPath(new URL('./client-process.js', import.meta.url));
/** Seconds beyond the planned ones until a client process counts as stalled. */
const SLACK_SECONDS = 30;

export class ClientProcess {
  private constructor(
    private readonly name: string,
    readonly process: Process,
  ) {}

  /** Starts it, connects it and has it write its keys. */
  static async start(
    processes: Processes,
    core: number | undefined,
    side: ClientSide,
    address: string,
    keys: number,
    valueBytes: number,
  ): Promise<ClientProcess> {
    const name = `the client process of ${side}`;
    const options = { core, ipc: true, isServer: true };
    const process_ = processes.start(name, process.execPath, [MAIN], options);
    process_.collect();
    const client = new ClientProcess(name, process_);
    await client.order({ kind: 'connect', side, address, keys, valueBytes }, 0);
    return client;
  }

  async measure(
    order: Extract<ClientOrder, { kind: 'measure' }>,
  ): Promise<Extract<ClientAnswer, { kind: 'measured' }>> {
    const answer = await this.order(order, order.seconds + order.warmUpSeconds);
    if (answer.kind !== 'measured') throw new Error(`${this.name} measured nothing`);
    return answer;
  }

  private async order(order: ClientOrder, seconds: number): Promise<ClientAnswer> {
    const { child } = this.process;
    const settled = new AbortController();
    const answer = once(child, 'message', { signal: settled.signal });
    const ended = this.process.ended.then(() => {
      throw new Error(this.process.obituary);
    });
    const timer = setTimeout(
      () => settled.abort(new Error(`${this.name} did not answer in time`)),
      (seconds + SLACK_SECONDS) * 1000,
    );
    try {
      child.send(order);
      const [message] = (await Promise.race([answer, ended])) as [ClientAnswer];
      if (message.kind === 'failed') throw new Error(`${this.name}: ${message.message}`);
      return message;
    } catch (error) {
      throw settled.signal.aborted ? settled.signal.reason : error;
    } finally {
      clearTimeout(timer);
      for (const promise of [answer, ended]) {
        promise.catch(() => {
          // The race is over; what comes later is told by the next order.
        });
      }
      settled.abort();
    }
  }
}
