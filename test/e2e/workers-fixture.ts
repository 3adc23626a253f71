// A node of several workers in this process: threads of the compiled files (`npx tsc`; `npm test` makes them),
// real time, real sockets, and every log line kept.

import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { onTestFinished } from 'vitest';
import { defaultSettings } from '../../node/config/config.js';
import type { Settings } from '../../node/config/settings.js';
import { createLoggerTo } from '../../node/logger.js';
import { type Server, startServer } from '../../node/server.js';
import type { HelloFrame, WelcomeFrame } from '../../ts/wire/hello.js';
import { decodeRouting, type Routing } from '../../ts/wire/routing.js';
import { type LogEntry, RawClient, tick } from './server-fixture.js';

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const THREAD = join(root, 'dist', 'node', 'worker-thread.js');
/** Threads load their code first, and machines that run tests are busy. */
const PATIENCE_MS = 60_000;

export class Workers {
  readonly entries: LogEntry[] = [];
  readonly fatal: unknown[] = [];
  server!: Server;
  private readonly clients: RawClient[] = [];
  private stopped: Promise<void> | undefined;

  /** `settings` over the defaults, with two workers, a free port and state in memory. */
  static async start(settings: Partial<Settings>, deathsMax = 3): Promise<Workers> {
    if (!existsSync(THREAD)) throw new Error(`${THREAD} is missing: run npx tsc`);
    const made = new Workers();
    const write = (line: string) => void made.entries.push(JSON.parse(line) as LogEntry);
    made.server = await startServer({
      settings: defaultSettings({ port: 0, durability: 'none', workers: 2, ...settings }),
      logger: createLoggerTo({ write }, 'info'),
      supervisor: { onLine: write, deathsMax },
      onFatal: (error) => made.fatal.push(error),
    });
    return made;
  }

  /** At the port that clients know, or at that of a worker. */
  connect(port = this.server.port): Promise<{ client: RawClient; welcome: WelcomeFrame }> {
    return this.greet(port, {});
  }

  /** With a hello of these fields. */
  async greet(
    port = this.server.port,
    hello: Partial<HelloFrame>,
  ): Promise<{ client: RawClient; welcome: WelcomeFrame }> {
    const client = new RawClient(`ws://127.0.0.1:${port}`, {});
    this.clients.push(client);
    await client.opened;
    return { client, welcome: await client.helloWith(hello) };
  }

  async routing(): Promise<Routing> {
    const { client, welcome } = await this.connect();
    client.socket.terminate();
    return routingOf(welcome);
  }

  async get(path: string, port = this.server.port): Promise<{ status: number; body: string }> {
    const url = `http://127.0.0.1:${port}${path}`;
    const response = await fetch(url, { headers: { connection: 'close' } });
    return { status: response.status, body: await response.text() };
  }

  /** The figures of `/metrics`, by name with labels. */
  async metrics(port?: number): Promise<ReadonlyMap<string, number>> {
    const { body } = await this.get('/metrics', port);
    const lines = body.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
    return new Map(
      lines.map((line) => {
        const space = line.lastIndexOf(' ');
        return [line.slice(0, space), Number(line.slice(space + 1))];
      }),
    );
  }

  async untilReady(): Promise<void> {
    await eventually(async () => (await this.get('/readyz')).status === 200, 'all workers');
  }

  events(event: string): LogEntry[] {
    return this.entries.filter((entry) => entry.event === event);
  }

  stop(): Promise<void> {
    for (const { socket } of this.clients) socket.terminate();
    this.stopped ??= this.server.stop();
    return this.stopped;
  }
}

export function routingOf({ routing }: WelcomeFrame): Routing {
  const decoded = decodeRouting(routing);
  if (decoded === undefined) throw new Error('the welcome has no routing table');
  return decoded;
}

/** What throws counts as no, for now. */
export async function eventually(
  condition: () => boolean | Promise<boolean>,
  what: string,
): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS;
  for (;;) {
    try {
      if (await condition()) return;
    } catch (error) {
      if (performance.now() > deadline) throw error;
    }
    if (performance.now() > deadline) throw new Error(`waited in vain for ${what}`);
    await tick(20);
  }
}

/** Removes the folder when the test and what it started have ended. */
export function withFolder<V>(use: (folder: string) => Promise<V>): Promise<V> {
  const folder = mkdtempSync(join(tmpdir(), 'rondo-workers-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return use(folder);
}
