// How calls become frames: one a tick, split at the node's limits, ids that ascend; and what the
// client makes of replies, in whatever order, number and shape they come.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Call, Shape } from '../../ts/client/call.js';
import { bytes, type Rondo, text } from '../../ts/client/index.js';
import { Outstanding } from '../../ts/client/outstanding.js';
import { FLAG_ENTRY, FLAG_MORE } from '../../ts/wire/layout.js';
import type { ReplyWriter } from '../../ts/wire/reply.js';
import { Status } from '../../ts/wire/status.js';
import { client, failure, scriptedNode, until, verdict } from './client-harness.js';
import type { ScriptedNode, SentOperation } from './client-scripted-node.js';

const ENTRY = new TextEncoder().encode('"v"');

async function connected(
  options: Parameters<typeof client>[1] = {},
): Promise<[ScriptedNode, Rondo]> {
  const node = await scriptedNode();
  const rondo = client(node.url, options);
  await rondo.ready();
  return [node, rondo];
}

describe('frames', () => {
  it('sends the calls of one tick as one frame, in order', async () => {
    const [node, rondo] = await connected();
    const keys = Array.from({ length: 300 }, (_, index) => `key/${index}`);
    expect(await Promise.all(keys.map((key) => rondo.kv.get(key)))).toEqual(keys);
    expect(node.frames).toHaveLength(1);
    expect(node.operations.map(({ key }) => key)).toEqual(keys);
  });

  it('takes calls into the frame that come from deeper in the same tick', async () => {
    const [node, rondo] = await connected();
    const layer = async (depth: number): Promise<unknown> => {
      for (let index = 0; index < depth; index++) await undefined;
      return rondo.kv.get(`depth/${depth}`);
    };
    await Promise.all([0, 1, 2, 3, 4].map(layer));
    expect(node.frames).toHaveLength(1);
  });

  it('keeps closed loops of many callers in step: one frame a round', async () => {
    const [node, rondo] = await connected();
    const caller = async (name: number): Promise<void> => {
      for (let round = 0; round < 10; round++) await rondo.kv.get(`${name}/${round}`);
    };
    await Promise.all(Array.from({ length: 50 }, (_, name) => caller(name)));
    expect(node.frames.map((frame) => frame.length)).toEqual(new Array(10).fill(50));
  });

  it('splits at the operations that a frame may have', async () => {
    const node = await scriptedNode();
    node.limits.operationsPerFrameMax = 7;
    const rondo = client(node.url);
    await Promise.all(Array.from({ length: 20 }, (_, index) => rondo.kv.get(`k${index}`)));
    expect(node.frames.map((frame) => frame.length)).toEqual([7, 7, 6]);
  });

  it('splits at the bytes that a frame may have', async () => {
    const node = await scriptedNode();
    node.limits.frameBytesMax = 10_000;
    node.limits.valueBytesMax = 4000;
    const rondo = client(node.url);
    const kv = rondo.kv.as(bytes);
    // The scripted node refuses larger frames, so an answer to each shows that none was.
    await Promise.all(
      Array.from({ length: 9 }, (_, index) => kv.put(`k${index}`, new Uint8Array(3000))),
    );
    expect(node.frames.map((frame) => frame.length)).toEqual([3, 3, 3]);
  });

  it('holds back what is over the outstanding operations, and sends it as answers come', async () => {
    const node = await scriptedNode();
    node.limits.operationsOutstandingMax = 10;
    const held: SentOperation[] = [];
    node.script = (_, operations) => held.push(...operations);
    const rondo = client(node.url);
    const calls = Array.from({ length: 25 }, (_, index) => rondo.kv.get(`k${index}`));
    await until(() => held.length === 10);
    const [peer] = node.peers;
    peer?.confirm(held.splice(0, 4));
    await until(() => held.length === 10);
    expect(node.operations).toHaveLength(14);
    node.script = (it, operations) => it.confirm(operations);
    peer?.confirm(held.splice(0));
    expect(await Promise.all(calls)).toHaveLength(25);
  });

  it('copies bytes at the call, so that their owner may change them', async () => {
    const [node, rondo] = await connected();
    const value = new Uint8Array([1, 2, 3]);
    const done = rondo.kv.as(bytes).put('k', value);
    value.fill(9);
    await done;
    expect(node.operations[0]?.value).toEqual(new Uint8Array([1, 2, 3]));
  });

  it('copies those of a Buffer, too', async () => {
    // `slice` of a Buffer does not copy: what was sent was what its owner had made of it since.
    const node = await scriptedNode();
    const value = Buffer.from('before');
    const put = client(node.url).kv.as(bytes).put('k', value);
    value.fill('x');
    await put;
    expect(node.operations[0]?.text).toBe('before');
  });

  it('writes texts of any script and length as their UTF-8', async () => {
    const [node, rondo] = await connected();
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: 'grapheme', maxLength: 2000 }), async (value) => {
        await rondo.kv.as(text).put('k', value);
        expect(node.operations.at(-1)?.text).toBe(value);
      }),
      { numRuns: 100 },
    );
  });
});

describe('ids', () => {
  it('ascend within a frame and begin a new frame where they wrap', async () => {
    const node = await scriptedNode();
    const rondo = client(node.url, {}, { idFirst: 2 ** 32 - 3 });
    await Promise.all(Array.from({ length: 6 }, (_, index) => rondo.kv.get(`k${index}`)));
    const wrapped = [2 ** 32 - 3, 2 ** 32 - 2, 2 ** 32 - 1];
    expect(node.frames.map((frame) => frame.map(({ id }) => id))).toEqual([wrapped, [1, 2, 3]]);
  });

  it('are not used again while their operation is outstanding', () => {
    const outstanding = new Outstanding(2 ** 32 - 5);
    const taken = new Map<number, Call>();
    const random = mulberry(7);
    for (let step = 0; step < 15_000; step++) {
      if (taken.size < 3000 && random() < 0.55) {
        const call = new Call(1, Shape.Value, 0, 'k', undefined, 0, 0, 0, undefined);
        const id = outstanding.next();
        outstanding.add(call);
        expect(call.id).toBe(id);
        expect(taken.has(id)).toBe(false);
        taken.set(id, call);
      } else if (taken.size > 0) {
        const ids = [...taken.keys()];
        const id = ids[Math.floor(random() * Math.min(ids.length, 50))] as number;
        const call = taken.get(id) as Call;
        expect(outstanding.get(id)).toBe(call);
        outstanding.remove(call);
        taken.delete(id);
      }
    }
    expect(outstanding.count).toBe(taken.size);
    expect(outstanding.inOrder()).toEqual([...taken.values()]);
    for (const call of taken.values()) outstanding.remove(call);
    expect(outstanding.count).toBe(0);
  });
});

describe('replies', () => {
  it('may come in any order and in several frames', async () => {
    const [node, rondo] = await connected();
    node.script = (peer, operations) => {
      for (const operation of [...operations].reverse()) peer.confirm([operation]);
    };
    expect(await Promise.all(['a', 'b', 'c'].map((key) => rondo.kv.get(key)))).toEqual([
      'a',
      'b',
      'c',
    ]);
  });

  it('are decoded whether a frame is ASCII, other text, binary or large', async () => {
    const [node, rondo] = await connected();
    const values = [
      '"plain"',
      '"grüße 🎉"',
      '"\u{feff}bom"',
      `"${'x'.repeat(100_000)}"`,
      '{"a":[1]}',
    ];
    for (const among of [values.slice(0, 1), values.slice(0, 3), values]) {
      node.script = (peer, operations) =>
        peer.reply((writer) => {
          operations.forEach(({ id }, index) => {
            const value = new TextEncoder().encode(among[index] ?? '"-"');
            writer.resultWithValue(id, value, 1, 0);
          });
        });
      const got = await Promise.all(among.map((_, index) => rondo.kv.get(`k${index}`)));
      expect(got).toEqual(among.map((value) => JSON.parse(value)));
    }
  });

  it('fail one call where its value is not what its codec reads', async () => {
    const [node, rondo] = await connected();
    node.script = (peer, operations) =>
      peer.reply((writer) => {
        for (const { id, key } of operations) {
          const value = key === 'binary' ? Uint8Array.of(0xff, 0xfe) : Buffer.from('{"half":');
          writer.resultWithValue(id, value, 1, 0);
        }
      });
    const calls = [rondo.kv.get('binary'), rondo.kv.get('half'), rondo.kv.as(bytes).get('binary')];
    const [binary, half, raw] = await Promise.allSettled(calls);
    expect(binary).toMatchObject({ reason: { code: 'CODEC_FAILED', maybeApplied: false } });
    expect(half).toMatchObject({ reason: { code: 'CODEC_FAILED' } });
    expect(raw).toMatchObject({ value: Uint8Array.of(0xff, 0xfe) });
    expect(rondo.welcome).toBeDefined();
  });

  const violations: [string, (writer: ReplyWriter, id: number) => void][] = [
    ['an unknown id', (writer, id) => writer.result(id + 1000, Status.Ok, 1, 0)],
    [
      'a second answer',
      (writer, id) => {
        writer.result(id, Status.Ok, 1, 0);
        writer.result(id, Status.Ok, 1, 0);
      },
    ],
    ['a scan entry', (writer, id) => writer.entry(id, FLAG_ENTRY, ENTRY, ENTRY, 1, 0)],
  ];
  for (const [name, write] of violations) {
    it(`end the connection where a get or put is answered with ${name}`, async () => {
      const [node, rondo] = await connected();
      node.script = (peer, operations) => {
        if (peer.index > 0) peer.confirm(operations);
        else peer.reply((writer) => write(writer, operations[0]?.id ?? 0));
      };
      const first = rondo.kv.get('first').catch(() => undefined);
      const put = await verdict(rondo.kv.put('second', 1));
      expect(put).toEqual({ code: 'PROTOCOL_ERROR', retryable: false, maybeApplied: true });
      await first;
      expect(await rondo.kv.get('after')).toBe('after');
      expect(node.peers).toHaveLength(2);
    });
  }

  const badFrames: [string, string | Uint8Array][] = [
    ['text', 'hello'],
    ['an empty message', new Uint8Array(0)],
    ['noise', new Uint8Array(200).fill(7)],
  ];
  for (const [name, message] of badFrames) {
    it(`end the connection where the node sends ${name}`, async () => {
      const [node, rondo] = await connected();
      node.script = (peer) => peer.socket.send(message);
      const error = await failure(rondo.kv.get('k'));
      expect(error).toMatchObject({ code: 'PROTOCOL_ERROR', maybeApplied: false });
      const [peer] = node.peers;
      await until(() => peer?.socket.readyState === 3);
    });
  }

  it('end the connection where a frame is cut short anywhere', async () => {
    for (const keep of [39, 40, 71, 72, 75]) {
      const [node, rondo] = await connected();
      node.script = (peer, operations) => {
        const send = peer.socket.send.bind(peer.socket) as (data: Uint8Array) => void;
        peer.socket.send = (data: unknown) => send((data as Uint8Array).subarray(0, keep));
        peer.confirm(operations);
      };
      expect(await failure(rondo.kv.get('k'))).toMatchObject({ code: 'PROTOCOL_ERROR' });
      await rondo.close();
    }
  });

  const badPages: [string, (writer: ReplyWriter, id: number) => void][] = [
    ['a wrong count', (writer, id) => writer.closing(id, 0, new Uint8Array(0), 3)],
    ['more, and no cursor', (writer, id) => writer.closing(id, FLAG_MORE, new Uint8Array(0), 0)],
    [
      'a key of another prefix',
      (writer, id) => {
        writer.entry(id, FLAG_ENTRY, Buffer.from('other/1'), ENTRY, 1, 0);
        writer.closing(id, 0, new Uint8Array(0), 1);
      },
    ],
    [
      'more than the limit',
      (writer, id) => {
        for (const key of ['p/1', 'p/2', 'p/3']) {
          writer.entry(id, FLAG_ENTRY, Buffer.from(key), ENTRY, 1, 0);
        }
        writer.closing(id, 0, new Uint8Array(0), 3);
      },
    ],
  ];
  for (const [name, write] of badPages) {
    it(`end the connection where a page has ${name}`, async () => {
      const [node, rondo] = await connected();
      node.script = (peer, [operation]) =>
        peer.reply((writer) => write(writer, operation?.id ?? 0));
      const error = await failure(rondo.kv.scanPage('p/', { limit: 2 }));
      expect(error).toMatchObject({ code: 'PROTOCOL_ERROR' });
    });
  }

  it('take a page without entries where its cursor goes on, and end the connection where not', async () => {
    const [node, rondo] = await connected();
    node.script = (peer, [operation]) =>
      peer.reply((writer) => writer.closing(operation?.id ?? 0, FLAG_MORE, Buffer.from('p/5'), 0));
    const page = await rondo.kv.scanPage('p/', { limit: 2 });
    expect(page).toEqual({ entries: [], cursor: new Uint8Array(Buffer.from('p/5')) });
    const again = failure(rondo.kv.scanPage('p/', { limit: 2, cursor: page.cursor }));
    expect(await again).toMatchObject({ code: 'PROTOCOL_ERROR' });
  });

  it('that miss an operation leave it to its deadline, and the others get theirs', async () => {
    const [node, rondo] = await connected();
    node.script = (peer, operations) => peer.confirm(operations.slice(1));
    const missed = verdict(rondo.kv.put('missed', 1, { timeoutMs: 40 }));
    expect(await rondo.kv.get('kept')).toBe('kept');
    expect(await missed).toEqual({ code: 'TIMEOUT', retryable: true, maybeApplied: true });
    expect(node.peers).toHaveLength(1);
  });

  it('with a sum that is no number end the connection; a large one stays exact', async () => {
    const [node, rondo] = await connected();
    node.script = (peer, [operation]) =>
      peer.reply((writer) => {
        writer.resultWithValue(operation?.id ?? 0, Buffer.from(operation?.key ?? ''), 1, 0);
      });
    expect(await rondo.kv.increment('9223372036854775807')).toBe(2n ** 63n - 1n);
    expect(await rondo.kv.increment('-9007199254740993')).toBe(-9007199254740993n);
    expect(await failure(rondo.kv.increment('12.5'))).toMatchObject({ code: 'PROTOCOL_ERROR' });
  });
});

/** A small seeded generator. (T. Ettinger, mulberry32.) */
function mulberry(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
