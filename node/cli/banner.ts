// What a person reads after the start: where the node is, what it runs on and what to try.

import { describeDurability } from '../config/durability.js';
import type { Settings } from '../config/settings.js';
import type { Server } from '../server.js';
import { VERSION } from '../version.js';

const PORT_DEFAULT_URL = 'ws://127.0.0.1:7400';

export function banner(server: Server, settings: Settings): string {
  const { url, engine, transport, workers } = server;
  const at = url === PORT_DEFAULT_URL ? '' : ` --url ${url}`;
  const lines = [
    '',
    `  Rondo ${VERSION} is serving at ${url}`,
    '',
    `    engine      ${engine.kind} (${engine.reason})`,
    `    transport   ${transport.kind} (${transport.reason})`,
    `    partitions  ${settings.partitions}${workers === 1 ? '' : `, shared by ${workers} workers`}`,
    `    durability  ${describeDurability(settings.durability, settings.dataDir)}`,
    '',
    '  Try in another terminal:',
    '',
    `    npx rondo put plan/1 hello${at}`,
    `    npx rondo get plan/1${at}`,
    '    npm run demo',
    `    ${url.replace(/^ws/, 'http')}/metrics`,
    '',
    '  Ctrl+C stops it.',
    '',
    '',
  ];
  return lines.join('\n');
}
