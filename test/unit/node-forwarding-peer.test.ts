// The far end of a channel as a connection: what counts as unread, when it has drained, how it ends; and answers
// that are waited for awake.

import { describe, expect, it } from 'vitest';
import { ConnectionState } from '../../node/connection.js';
import {
  CHANNEL_CREDIT_BYTES,
  CHANNEL_WINDOW_BYTES,
  LINK_SPIN_MS,
  LINK_SPINS_SKIPPED_MAX,
} from '../../node/limits.js';
import { decodeOpen, encodeOpen } from '../../node/links/channel-open.js';
import { LinkPeer } from '../../node/links/link-peer.js';
import type { Links } from '../../node/links/links.js';
import { MessageKind } from '../../node/links/messages.js';
import { Spin } from '../../node/links/spin.js';

class Bench {
  isUp = true;
  readonly sent: string[] = [];
  readonly events: string[] = [];
  readonly links = {
    send: (worker: number, kind: MessageKind, a: number, b: number, bytes?: Uint8Array) => {
      if (this.isUp)
        this.sent.push(`${worker} ${MessageKind[kind]} ${a} ${b} ${bytes?.length ?? 0}`);
      return this.isUp;
    },
  } as unknown as Links;
  readonly peer = new LinkPeer(7, new ConnectionState(undefined), 2, 33, this.links, {
    onDrain: () => this.events.push('drain'),
    onClose: (_, code, reason) => this.events.push(`close ${code} ${reason}`),
  });
}

describe('the far end of a channel', () => {
  it('counts as unread what is beyond the window, until the socket has taken it', () => {
    const { peer, events, sent } = new Bench();
    const half = new Uint8Array(CHANNEL_WINDOW_BYTES / 2);
    expect([peer.send(half), peer.send(half)]).toEqual(['sent', 'sent']);
    expect(peer.bufferedBytes).toBe(0);
    expect(peer.send(half)).toBe('buffered');
    expect(peer.bufferedBytes).toBe(half.length);
    peer.credit(half.length - 1);
    expect(events).toEqual([]);
    expect(peer.bufferedBytes).toBe(1);
    peer.credit(1);
    expect(events).toEqual(['drain']);
    expect(peer.bufferedBytes).toBe(0);
    // Once for each time that it was behind.
    peer.credit(half.length);
    expect(events).toEqual(['drain']);
    expect(sent).toHaveLength(3);
  });

  it('never waits for credit that the other side holds back', () => {
    expect(CHANNEL_CREDIT_BYTES).toBeLessThan(CHANNEL_WINDOW_BYTES);
  });

  it('closes the connection at its socket, once, and takes nothing more', () => {
    const { peer, events, sent } = new Bench();
    peer.close(4031, 'why');
    peer.close(4032, 'again');
    peer.end(1000, '');
    expect(sent).toEqual(['2 Close 33 4031 3']);
    expect(events).toEqual(['close 4031 why']);
    expect(peer.isOpen).toBe(false);
    expect(peer.send(new Uint8Array(1))).toBe('dropped');
    expect(sent).toHaveLength(1);
  });

  it('says nothing to a socket that is gone', () => {
    const { peer, events, sent } = new Bench();
    peer.end(1000, '');
    peer.close(4031, 'why');
    expect(sent).toEqual([]);
    expect(events).toEqual(['close 1000 ']);
  });

  it('drops what a link that is down does not take', () => {
    const bench = new Bench();
    bench.isUp = false;
    expect(bench.peer.send(new Uint8Array(1))).toBe('dropped');
    expect(bench.peer.bufferedBytes).toBe(0);
  });

  it('is told of session, group and client as they were', () => {
    const digest = new Uint8Array(16).fill(5);
    // A group of the node's own is above what a client may draw.
    const group = 2 ** 53 + 130;
    const open = { group, digest, client: 'grün/1' };
    expect(decodeOpen(9, encodeOpen(open))).toEqual(open);
    const without = { group: 0, digest: undefined, client: 'grün/1' };
    expect(decodeOpen(0, encodeOpen({ ...without, group: 4 }))).toEqual(without);
  });
});

describe('waiting awake for an answer', () => {
  const step = LINK_SPIN_MS / 4;

  it('lasts until it comes, or not long', () => {
    const spin = new Spin();
    expect(spin.goesOn(1)).toBe(false);
    spin.expect();
    expect([spin.goesOn(1), spin.goesOn(1 + step)]).toEqual([true, true]);
    spin.answered();
    expect(spin.goesOn(1 + 2 * step)).toBe(false);
    spin.expect();
    expect([spin.goesOn(2), spin.goesOn(2 + LINK_SPIN_MS)]).toEqual([true, false]);
  });

  it('is left out ever longer while it is in vain, and tried again', () => {
    const spin = new Spin();
    const skipped: number[] = [];
    for (let now = 1, skips = 0; skipped.length < 10; now++) {
      spin.expect();
      if (spin.goesOn(now)) {
        skipped.push(skips);
        skips = 0;
        expect(spin.goesOn(now + LINK_SPIN_MS)).toBe(false);
      } else {
        skips++;
      }
    }
    expect(skipped).toEqual([0, 1, 3, 7, 15, 31, 63, 127, 255, LINK_SPINS_SKIPPED_MAX]);
    // One that is answered makes it worth its while again.
    while (!spin.goesOn(0.1)) spin.expect();
    spin.answered();
    spin.expect();
    expect(spin.goesOn(0.2)).toBe(true);
  });
});
