// A port that several listeners share: what the workers of one node do where the system spreads connections.

import { afterEach, describe, expect, it } from 'vitest';
import { freeListenPort, probeListen } from '../../node/transport/listen-failure.js';
import { chooseTransport } from '../../node/transport/load.js';
import type { Transport, TransportHandler } from '../../node/transport/transport.js';

const choice = chooseTransport('auto');
const made: Transport[] = [];

afterEach(async () => {
  for (const transport of made.splice(0)) await transport.close(0);
});

function transportOf(name: string): Transport {
  const handler: TransportHandler<undefined> = {
    onUpgrade: () => ({ data: undefined }),
    onOpen: () => undefined,
    onMessage: () => undefined,
    onText: () => undefined,
    onDrain: () => undefined,
    onClose: () => undefined,
    onHttp: () => ({ status: 200, contentType: 'text/plain', body: name }),
  };
  const transport = choice.create({ payloadBytesMax: 1024 }, handler);
  made.push(transport);
  return transport;
}

async function answerOf(port: number): Promise<string> {
  const response = await fetch(`http://127.0.0.1:${port}/`, { headers: { connection: 'close' } });
  return response.text();
}

describe.skipIf(!choice.sharesPorts)('a shared port', () => {
  it('has several listeners, each of which gets connections', async () => {
    const port = await freeListenPort('127.0.0.1');
    const one = transportOf('one');
    const two = transportOf('two');
    expect(await one.listen('127.0.0.1', port, { isShared: true })).toBe(port);
    expect(await two.listen('127.0.0.1', port, { isShared: true })).toBe(port);
    const seen = new Set<string>();
    // The system chooses by a hash of addresses and ports: 64 times one and the same has odds of 2^-63.
    for (let request = 0; request < 64 && seen.size < 2; request++) seen.add(await answerOf(port));
    expect([...seen].sort()).toEqual(['one', 'two']);
    two.stopAccepting();
    for (let request = 0; request < 8; request++) expect(await answerOf(port)).toBe('one');
  });

  it('is refused to whoever asks for it alone, and where somebody has it alone', async () => {
    const port = await freeListenPort('127.0.0.1');
    await transportOf('one').listen('127.0.0.1', port, { isShared: true });
    expect(await probeListen('127.0.0.1', port)).toMatchObject({ code: 'PORT_IN_USE' });
    const inUse = { code: 'PORT_IN_USE' };
    await expect(transportOf('two').listen('127.0.0.1', port)).rejects.toMatchObject(inUse);
    const alone = await transportOf('three').listen('127.0.0.1', 0);
    const shared = transportOf('four').listen('127.0.0.1', alone, { isShared: true });
    await expect(shared).rejects.toMatchObject(inUse);
  });
});

describe('ports that cannot be shared', () => {
  it('are those of ws', () => {
    expect(chooseTransport('ws').sharesPorts).toBe(false);
  });
});
