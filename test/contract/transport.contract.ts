// What every Transport does alike, seen from a raw WebSocket client over loopback.

import { connect, createServer } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import WebSocket from 'ws';
import { CLOSE_DEADLINE_MS } from '../../node/limits.js';
import type {
  Connection,
  HttpReply,
  HttpRequest,
  SendOutcome,
  Transport,
  TransportHandler,
  TransportOptions,
  UpgradeAnswer,
  UpgradeRequest,
} from '../../node/transport/transport.js';

interface Slot {
  readonly label: string;
}
type Peer = Connection<Slot>;
export type TransportFactory = (
  options: TransportOptions,
  handler: TransportHandler<Slot>,
) => Transport;

const PAYLOAD_BYTES_MAX = 2 * 1024 * 1024;
const TEXT = 'text/plain';

/** Records what happens; a test replaces what it wants to act on. */
class Recorder implements TransportHandler<Slot> {
  readonly upgrades: UpgradeRequest[] = [];
  readonly opened: Peer[] = [];
  readonly closed: { peer: Peer; code: number; reason: string }[] = [];
  readonly requests: HttpRequest[] = [];
  texts = 0;
  drains = 0;
  message: (peer: Peer, message: ArrayBuffer) => void = (peer, message) => {
    peer.send(new Uint8Array(message));
  };
  upgrade: (request: UpgradeRequest) => UpgradeAnswer<Slot> = (request) => ({
    data: { label: request.path },
  });
  http: (request: HttpRequest) => HttpReply | Promise<HttpReply> = ({ method, path }) =>
    path === '/known' && method === 'GET'
      ? { status: 200, contentType: TEXT, body: 'yes', headers: { 'x-extra': '1' } }
      : { status: 404, contentType: TEXT, body: `no ${method} ${path}` };

  onUpgrade(request: UpgradeRequest): UpgradeAnswer<Slot> {
    this.upgrades.push(request);
    return this.upgrade(request);
  }
  onOpen(peer: Peer): void {
    this.opened.push(peer);
  }
  onMessage(peer: Peer, message: ArrayBuffer): void {
    this.message(peer, message);
  }
  onText(): void {
    this.texts++;
  }
  onDrain(peer: Peer): void {
    expect(peer.bufferedBytes).toBe(0);
    this.drains++;
  }
  onClose(peer: Peer, code: number, reason: string): void {
    this.closed.push({ peer, code, reason });
  }
  onHttp(request: HttpRequest): HttpReply | Promise<HttpReply> {
    this.requests.push(request);
    return this.http(request);
  }
}

export function transportContract(name: string, factory: TransportFactory): void {
  describe(`transport ${name}`, () => {
    let recorder: Recorder;
    let transport: Transport;
    let port: number;
    const clients: WebSocket[] = [];

    beforeEach(async () => {
      recorder = new Recorder();
      transport = factory({ payloadBytesMax: PAYLOAD_BYTES_MAX }, recorder);
      port = await transport.listen('127.0.0.1', 0);
    });

    afterEach(async () => {
      for (const client of clients.splice(0)) client.terminate();
      await transport.close(0);
    });

    function dial(path = '/', options: WebSocket.ClientOptions = {}): WebSocket {
      return dialAt(port, path, options);
    }

    function dialAt(at: number, path = '/', options: WebSocket.ClientOptions = {}): WebSocket {
      const client = new WebSocket(`ws://127.0.0.1:${at}${path}`, {
        perMessageDeflate: false,
        ...options,
      });
      client.binaryType = 'arraybuffer';
      // Refusals raise errors on the client; the tests that expect one listen themselves.
      client.on('error', () => undefined);
      clients.push(client);
      return client;
    }

    async function open(path = '/', options: WebSocket.ClientOptions = {}): Promise<WebSocket> {
      const client = dial(path, options);
      await event(client, 'open');
      return client;
    }

    it('names its kind and listens on a free port', () => {
      expect(['uws', 'ws']).toContain(transport.kind);
      expect(port).toBeGreaterThan(0);
    });

    it('listens at more than one port, with one handler behind them', async () => {
      const second = await transport.listen('127.0.0.1', 0);
      expect(second).not.toBe(port);
      const direct = await open();
      const other = dialAt(second);
      await event(other, 'open');
      expect(recorder.opened.map(({ id }) => id)).toEqual([1, 2]);
      other.send(Buffer.from('x'));
      expect((await message(other)).byteLength).toBe(1);
      transport.stopAccepting();
      for (const at of [port, second]) {
        expect(await event(dialAt(at), 'error')).toBeDefined();
      }
      expect(direct.readyState).toBe(WebSocket.OPEN);
      await transport.close(0);
      await until(() => recorder.closed.length === 2);
    });

    it('may be closed twice', async () => {
      await transport.close(0);
      await transport.close(0);
      expect(await event(dial(), 'error')).toBeDefined();
    });

    it('hands the request over at upgrade and keeps the data with the connection', async () => {
      await open('/some/path?token=hidden', {
        headers: { authorization: 'Bearer abc', origin: 'http://a.example' },
      });
      expect(recorder.upgrades).toEqual([
        {
          path: '/some/path',
          origin: 'http://a.example',
          authorization: 'Bearer abc',
          remoteAddress: '127.0.0.1',
        },
      ]);
      const [peer] = recorder.opened;
      expect(peer?.data).toEqual({ label: '/some/path' });
      expect(peer?.remoteAddress).toBe('127.0.0.1');
      expect(peer?.isOpen).toBe(true);
      expect(peer?.bufferedBytes).toBe(0);
    });

    it('gives each connection an id of its own, ascending', async () => {
      await open();
      await open();
      await open();
      expect(recorder.opened.map(({ id }) => id)).toEqual([1, 2, 3]);
      expect(recorder.upgrades[0]?.origin).toBeUndefined();
      expect(recorder.upgrades[0]?.authorization).toBeUndefined();
    });

    it.each([0, 1, 125, 126, 65_535, 65_536, 1024 * 1024, PAYLOAD_BYTES_MAX])(
      'echoes a message of %i bytes',
      async (bytes) => {
        const client = await open();
        const sent = pattern(bytes);
        client.send(sent);
        expect(Buffer.from(await message(client)).equals(sent)).toBe(true);
      },
    );

    it('puts fragments together', async () => {
      const client = await open();
      client.send(pattern(10), { fin: false });
      client.send(pattern(20), { fin: true });
      const expected = Buffer.concat([pattern(10), pattern(20)]);
      expect(Buffer.from(await message(client)).equals(expected)).toBe(true);
    });

    it('keeps the order of messages', async () => {
      const client = await open();
      for (let index = 0; index < 500; index++) client.send(Buffer.from([index & 255]));
      const received = await messages(client, 500);
      expect(received.map((bytes) => new Uint8Array(bytes)[0])).toEqual(
        Array.from({ length: 500 }, (_, index) => index & 255),
      );
    });

    it('reports a text message without handing it out, and goes on', async () => {
      const client = await open();
      client.send('hello');
      client.send(Buffer.from([7]));
      expect(new Uint8Array(await message(client))).toEqual(new Uint8Array([7]));
      expect(recorder.texts).toBe(1);
    });

    it('leaves the sent bytes to the caller when send returns', async () => {
      const shared = new Uint8Array(256 * 1024);
      recorder.message = (peer) => {
        for (let round = 1; round <= 40; round++) {
          peer.send(shared.fill(round));
        }
        shared.fill(0);
      };
      const client = await open();
      client.pause();
      client.send(Buffer.alloc(1));
      await until(() => (recorder.opened[0]?.bufferedBytes ?? 0) > 0);
      client.resume();
      const received = await messages(client, 40);
      for (const [index, bytes] of received.entries()) {
        expect(new Uint8Array(bytes).every((byte) => byte === index + 1)).toBe(true);
      }
    });

    it('reports what waits for the peer, and tells once it has drained', async () => {
      const client = await open();
      client.pause();
      const peer = recorder.opened[0] as Peer;
      const chunk = new Uint8Array(1024 * 1024);
      const outcomes: SendOutcome[] = [];
      for (let index = 0; index < 32; index++) outcomes.push(peer.send(chunk));
      expect(outcomes).toContain('buffered');
      expect(outcomes).not.toContain('dropped');
      expect(peer.bufferedBytes).toBeGreaterThan(8 * 1024 * 1024);
      expect(recorder.drains).toBe(0);
      client.resume();
      expect(await messages(client, 32)).toHaveLength(32);
      await until(() => recorder.drains > 0);
      expect(peer.bufferedBytes).toBe(0);
      expect(recorder.drains).toBe(1);
      expect(peer.send(new Uint8Array(1))).toBe('sent');
    });

    it('closes with code and reason, tells the owner at once, and then drops', async () => {
      const client = await open();
      const peer = recorder.opened[0] as Peer;
      const reason = 'r'.repeat(123);
      peer.close(4032, reason);
      expect(peer.isOpen).toBe(false);
      expect(peer.bufferedBytes).toBe(0);
      expect(peer.send(new Uint8Array(1))).toBe('dropped');
      peer.close(4033, 'again');
      expect(recorder.closed).toEqual([{ peer, code: 4032, reason }]);
      expect(await closed(client)).toEqual({ code: 4032, reason });
      expect(recorder.closed).toHaveLength(1);
    });

    it('lets the peer have what was sent before the close', async () => {
      recorder.message = (peer) => {
        peer.send(new Uint8Array([1]));
        peer.send(new Uint8Array([2]));
        peer.close(1001, 'bye');
      };
      const client = await open();
      client.send(Buffer.alloc(3));
      const got = messages(client, 2);
      expect(await closed(client)).toEqual({ code: 1001, reason: 'bye' });
      expect((await got).map((bytes) => new Uint8Array(bytes)[0])).toEqual([1, 2]);
    });

    it('lets a peer that reads late have everything before the close frame', async () => {
      const client = await open();
      client.pause();
      const peer = recorder.opened[0] as Peer;
      for (let index = 0; index < 16; index++) peer.send(new Uint8Array(1024 * 1024).fill(index));
      peer.close(4041, 'too slow');
      expect(recorder.closed).toHaveLength(1);
      client.resume();
      const got = messages(client, 16);
      expect(await closed(client)).toEqual({ code: 4041, reason: 'too slow' });
      expect(await got).toHaveLength(16);
      expect(recorder.closed).toHaveLength(1);
    });

    it('can close at open and in a message, and takes in nothing after', async () => {
      let seen = 0;
      recorder.message = (peer) => {
        seen++;
        peer.close(4001, 'enough');
      };
      const client = await open();
      for (let index = 0; index < 50; index++) client.send(Buffer.from([1]));
      expect(await closed(client)).toEqual({ code: 4001, reason: 'enough' });
      expect(seen).toBe(1);

      recorder.onOpen = (peer) => peer.close(4002, 'not you');
      expect(await closed(dial())).toEqual({ code: 4002, reason: 'not you' });
    });

    it('passes on the code and reason of a peer that closes', async () => {
      const client = await open();
      client.close(4123, 'done here');
      await until(() => recorder.closed.length > 0);
      const [entry] = recorder.closed;
      expect(entry).toMatchObject({ code: 4123, reason: 'done here' });
      expect(entry?.peer.isOpen).toBe(false);
      expect(entry?.peer.send(new Uint8Array(1))).toBe('dropped');
      entry?.peer.close(1000, 'late');
      expect(recorder.closed).toHaveLength(1);
    });

    it('reports a lost connection as 1006', async () => {
      const client = await open();
      client.terminate();
      await until(() => recorder.closed.length > 0);
      expect(recorder.closed[0]?.code).toBe(1006);
    });

    it('cuts a message over the bound and reports it as 1009', async () => {
      const client = await open();
      client.send(Buffer.alloc(PAYLOAD_BYTES_MAX + 1));
      const { code } = await closed(client);
      expect([1006, 1009]).toContain(code);
      await until(() => recorder.closed.length > 0);
      expect(recorder.closed[0]?.code).toBe(1009);
    });

    it('cuts a peer that sends a broken frame', async () => {
      const client = await open();
      // A frame with a reserved bit set.
      socketOf(client).write(Buffer.from([0xf2, 0x80, 0, 0, 0, 0]));
      await until(() => recorder.closed.length > 0);
      // uWebSockets.js does not tell a broken frame from a lost connection.
      expect(recorder.closed[0]?.code).toBe(transport.kind === 'ws' ? 1002 : 1006);
    });

    it('reports invalid UTF-8 in a text message as 1007', async () => {
      const client = await open();
      client.send(Buffer.from([0xff, 0xfe]), { binary: false });
      await until(() => recorder.closed.length > 0);
      expect(recorder.closed[0]?.code).toBe(1007);
      expect(recorder.texts).toBe(0);
    });

    it('refuses an upgrade with the status, headers and body it is given', async () => {
      recorder.upgrade = () => ({
        refusal: { status: 403, contentType: TEXT, body: 'go away', headers: { 'x-extra': '2' } },
      });
      const client = dial();
      const refused = await refusal(client);
      expect(refused).toEqual({ status: 403, contentType: TEXT, extra: '2', body: 'go away' });
      expect(recorder.opened).toEqual([]);
      expect(recorder.closed).toEqual([]);
    });

    it('chooses no subprotocol and no extension', async () => {
      const client = await open('/', { perMessageDeflate: true });
      expect(client.protocol).toBe('');
      expect(client.extensions).toBe('');
    });

    it('answers plain HTTP: body, headers, and what it does not know', async () => {
      const base = `http://127.0.0.1:${port}`;
      const known = await fetch(`${base}/known?query=1`, {
        headers: { authorization: 'Bearer t' },
      });
      expect(known.status).toBe(200);
      expect(known.headers.get('content-type')).toBe(TEXT);
      expect(known.headers.get('x-extra')).toBe('1');
      expect(await known.text()).toBe('yes');
      const posted = await fetch(`${base}/known`, { method: 'POST', body: 'x'.repeat(100_000) });
      expect([posted.status, await posted.text()]).toEqual([404, 'no POST /known']);
      const unknown = await fetch(`${base}/other`, { method: 'DELETE' });
      expect([unknown.status, await unknown.text()]).toEqual([404, 'no DELETE /other']);
      expect(recorder.requests[0]).toEqual({
        method: 'GET',
        path: '/known',
        authorization: 'Bearer t',
      });
    });

    it('answers HEAD like GET without the body, again and again on one connection', async () => {
      for (let round = 0; round < 3; round++) {
        const response = await fetch(`http://127.0.0.1:${port}/known`, { method: 'HEAD' });
        expect(response.status).toBe(200);
        expect(response.headers.get('content-length')).toBe('3');
        expect(await response.text()).toBe('');
      }
      expect(recorder.requests.map(({ method }) => method)).toEqual(['GET', 'GET', 'GET']);
    });

    it.each([
      ['no key', ['Upgrade: websocket', 'Connection: Upgrade', 'Sec-WebSocket-Version: 13']],
      ['HTTP/2 on offer', ['Upgrade: h2c', 'Connection: Upgrade, HTTP2-Settings']],
    ])('answers an upgrade with %s as plain HTTP', async (_what, headers) => {
      const lines = ['GET /known?x=1 HTTP/1.1', 'Host: localhost', ...headers, '', ''];
      const answer = await raw(port, lines.join('\r\n'));
      expect(answer).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
      expect(answer).toMatch(/\r\n\r\nyes$/);
      expect(recorder.upgrades).toEqual([]);
    });

    it('waits for an HTTP answer that comes later', async () => {
      recorder.http = async () => {
        await new Promise((resolve) => setTimeout(resolve, 20));
        return { status: 200, contentType: TEXT, body: 'late' };
      };
      const response = await fetch(`http://127.0.0.1:${port}/`);
      expect(await response.text()).toBe('late');
    });

    it('survives an HTTP client that leaves before its answer', async () => {
      recorder.http = async () => {
        await new Promise((resolve) => setTimeout(resolve, 60));
        return { status: 200, contentType: TEXT, body: 'late' };
      };
      const signal = AbortSignal.timeout(20);
      await expect(fetch(`http://127.0.0.1:${port}/`, { signal })).rejects.toThrow();
      await new Promise((resolve) => setTimeout(resolve, 80));
      const client = await open();
      client.send(Buffer.from([1]));
      await message(client);
    });

    it('refuses a port that another process listens on', async () => {
      const other = createServer();
      const taken = await new Promise<number>((resolve) => {
        other.listen({ host: '127.0.0.1', port: 0 }, () => {
          resolve((other.address() as { port: number }).port);
        });
      });
      const second = factory({ payloadBytesMax: PAYLOAD_BYTES_MAX }, new Recorder());
      await expect(second.listen('127.0.0.1', taken)).rejects.toMatchObject({
        name: 'NodeError',
        code: 'PORT_IN_USE',
        message: expect.stringContaining(String(taken)) as string,
      });
      await second.close(0);
      await new Promise((resolve) => other.close(resolve));
    });

    it('refuses a port that a transport of its own kind listens on', async () => {
      // With uWebSockets.js, two default listeners on one explicit port both succeed.
      const fixed = await freePort();
      const first = factory({ payloadBytesMax: PAYLOAD_BYTES_MAX }, new Recorder());
      await first.listen('127.0.0.1', fixed);
      const second = factory({ payloadBytesMax: PAYLOAD_BYTES_MAX }, new Recorder());
      await expect(second.listen('127.0.0.1', fixed)).rejects.toMatchObject({
        code: 'PORT_IN_USE',
      });
      await second.close(0);
      await first.close(0);
    });

    it('says when the address is not one of this machine', async () => {
      const other = factory({ payloadBytesMax: PAYLOAD_BYTES_MAX }, new Recorder());
      // 192.0.2.0/24 is set aside for documentation (RFC 5737).
      await expect(other.listen('192.0.2.1', 0)).rejects.toMatchObject({ code: 'LISTEN_FAILED' });
      await other.close(0);
    });

    it('listens again on the port that it just left, though connections were open', async () => {
      await transport.close(0);
      port = await freePort();
      for (let round = 0; round < 2; round++) {
        transport = factory({ payloadBytesMax: PAYLOAD_BYTES_MAX }, recorder);
        expect(await transport.listen('127.0.0.1', port)).toBe(port);
        const client = await open();
        recorder.opened.at(-1)?.close(1001, 'moving');
        expect(await closed(client)).toEqual({ code: 1001, reason: 'moving' });
        await transport.close(100);
      }
    });

    it('keeps open connections when it stops accepting, and takes no new ones', async () => {
      const client = await open();
      transport.stopAccepting();
      transport.stopAccepting();
      client.send(Buffer.from([5]));
      expect(new Uint8Array(await message(client))).toEqual(new Uint8Array([5]));
      const late = dial();
      await event(late, 'error');
      expect(recorder.opened).toHaveLength(1);
    });

    it('destroys what is left when it closes', async () => {
      const client = await open();
      await transport.close(0);
      expect((await closed(client)).code).toBe(1006);
      await until(() => recorder.closed.length > 0);
      expect(recorder.closed[0]?.code).toBe(1006);
    });

    it('waits at close for those that still take their last bytes', async () => {
      const client = await open();
      client.pause();
      const peer = recorder.opened[0] as Peer;
      for (let index = 0; index < 16; index++) peer.send(new Uint8Array(1024 * 1024));
      peer.close(1001, 'stopping');
      const ended = transport.close(3_000);
      setTimeout(() => client.resume(), 50);
      const got = messages(client, 16);
      expect(await closed(client)).toEqual({ code: 1001, reason: 'stopping' });
      expect(await got).toHaveLength(16);
      await ended;
    });

    it('destroys the socket of a peer that never takes its last bytes', async () => {
      const client = await open();
      client.pause();
      const peer = recorder.opened[0] as Peer;
      for (let index = 0; index < 16; index++) peer.send(new Uint8Array(1024 * 1024));
      peer.close(4041, 'too slow');
      await new Promise((resolve) => setTimeout(resolve, CLOSE_DEADLINE_MS + 200));
      client.resume();
      expect((await closed(client)).code).toBe(1006);
    });

    it('does not wait longer than it is told', async () => {
      const client = await open();
      client.pause();
      const peer = recorder.opened[0] as Peer;
      for (let index = 0; index < 16; index++) peer.send(new Uint8Array(1024 * 1024));
      peer.close(1001, 'stopping');
      const startedAt = performance.now();
      await transport.close(200);
      expect(performance.now() - startedAt).toBeLessThan(1_000);
    });

    it('serves many connections', async () => {
      const many = await Promise.all(Array.from({ length: 300 }, () => open()));
      const answers = await Promise.all(
        many.map((client, index) => {
          client.send(Buffer.from([index & 255, index >> 8]));
          return message(client);
        }),
      );
      for (const [index, bytes] of answers.entries()) {
        expect([...new Uint8Array(bytes)]).toEqual([index & 255, index >> 8]);
      }
      for (const client of many) client.close(1000);
      await until(() => recorder.closed.length === 300);
      expect(new Set(recorder.closed.map(({ peer }) => peer.id)).size).toBe(300);
    });
  });
}

function pattern(bytes: number): Buffer {
  const buffer = Buffer.alloc(bytes);
  for (let index = 0; index < bytes; index++) buffer[index] = (index * 31 + (index >> 8)) & 255;
  return buffer;
}

function event(client: WebSocket, name: 'open' | 'error'): Promise<unknown> {
  return new Promise((resolve, reject) => {
    if (name === 'open') client.once('error', reject);
    client.once(name, resolve);
  });
}

async function message(client: WebSocket): Promise<ArrayBuffer> {
  return (await messages(client, 1))[0] as ArrayBuffer;
}

function messages(client: WebSocket, count: number): Promise<ArrayBuffer[]> {
  return new Promise((resolve) => {
    const received: ArrayBuffer[] = [];
    const take = (data: WebSocket.RawData) => {
      received.push(data as ArrayBuffer);
      if (received.length < count) return;
      client.off('message', take);
      resolve(received);
    };
    client.on('message', take);
  });
}

function closed(client: WebSocket): Promise<{ code: number; reason: string }> {
  return new Promise((resolve) => {
    client.once('close', (code, reason) => resolve({ code, reason: reason.toString() }));
  });
}

function refusal(
  client: WebSocket,
): Promise<{ status: number; contentType: string; extra: string; body: string }> {
  return new Promise((resolve) => {
    client.once('unexpected-response', (_request, response) => {
      let body = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        body += chunk;
      });
      response.on('end', () => {
        const { headers, statusCode } = response;
        const contentType = headers['content-type'] ?? '';
        resolve({ status: statusCode ?? 0, contentType, extra: String(headers['x-extra']), body });
      });
    });
  });
}

/** Sends `text` over TCP and returns the first bytes of the answer. */
function raw(port: number, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port }, () => socket.write(text));
    socket.once('error', reject);
    socket.once('data', (data) => {
      socket.destroy();
      resolve(data.toString());
    });
  });
}

function socketOf(client: WebSocket): { write(bytes: Uint8Array): void } {
  return (client as unknown as { _socket: { write(bytes: Uint8Array): void } })._socket;
}

async function freePort(): Promise<number> {
  const server = createServer();
  const port = await new Promise<number>((resolve) => {
    server.listen({ host: '127.0.0.1', port: 0 }, () => {
      resolve((server.address() as { port: number }).port);
    });
  });
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function until(condition: () => boolean): Promise<void> {
  const deadline = performance.now() + 5_000;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error('waited 5 s in vain');
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
