// What the node sends without being asked: it goes to whoever keeps the watches, and is a fault where nobody does.

import { describe, expect, it } from 'vitest';
import type { Dispatcher, Pushes } from '../../ts/client/dispatcher.js';
import type { Rondo } from '../../ts/client/index.js';
import { FrameKind } from '../../ts/wire/generated/rondo/wire/frame-kind.js';
import { HEADER_BYTES, SLOT_EVENTS, writeHeader } from '../../ts/wire/layout.js';
import { client, scriptedNode, state, until } from './client-harness.js';

function pushFrame(): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES + 4);
  writeHeader(new DataView(bytes.buffer), FrameKind.Push, SLOT_EVENTS);
  return bytes;
}

const dispatcherOf = (rondo: Rondo): Dispatcher =>
  (rondo as unknown as { router: { dispatcher: Dispatcher } }).router.dispatcher;

describe('pushes', () => {
  it('go to their taker, which hears of each connection before anything is sent', async () => {
    const node = await scriptedNode();
    const rondo = client(node.url);
    const heard: string[] = [];
    const pushes: Pushes = {
      receive: (frame) => {
        heard.push(`push of ${frame.byteLength}`);
        return undefined;
      },
      attached: ({ version }) => heard.push(`${version} after ${node.operations.length}`),
      detached: ({ code }) => heard.push(code),
      closed: ({ code }) => heard.push(code),
    };
    dispatcherOf(rondo).pushes = pushes;
    await rondo.kv.get('k');
    node.peers[0]?.socket.send(pushFrame());
    await until(() => heard.length === 2);
    node.cut();
    await state(rondo, 'reconnecting');
    await rondo.ready();
    await rondo.close();
    expect(heard).toEqual([
      '0.0.0-scripted after 0',
      `push of ${HEADER_BYTES + 4}`,
      'CONNECTION_LOST',
      '0.0.0-scripted after 1',
      'CLOSED',
    ]);
  });

  it('that nobody takes end the connection', async () => {
    const node = await scriptedNode();
    const rondo = client(node.url);
    await rondo.ready();
    node.peers[0]?.socket.send(pushFrame());
    await state(rondo, 'reconnecting');
    const { value } = await rondo.status().next();
    expect(value).toMatchObject({ state: 'reconnecting', reason: { code: 'PROTOCOL_ERROR' } });
  });
});
