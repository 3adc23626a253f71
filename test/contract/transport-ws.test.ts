import { connect } from 'node:net';
import { expect, it } from 'vitest';
import { CLOSE_DEADLINE_MS } from '../../node/limits.js';
import { chooseTransport } from '../../node/transport/load.js';
import { transportContract } from './transport.contract.js';

transportContract('ws', (options, handler) => chooseTransport('ws').create(options, handler));

it(
  'destroys the socket of a wrong upgrade whose peer does not hang up in turn',
  async () => {
    // It stayed for as long as the peer wished: Node's HTTP server no longer watches over it.
    const unused = () => {
      throw new Error('a wrong upgrade is plain HTTP');
    };
    const transport = chooseTransport('ws').create(
      { payloadBytesMax: 1024 },
      {
        onUpgrade: unused,
        onOpen: unused,
        onMessage: unused,
        onText: unused,
        onDrain: unused,
        onClose: unused,
        onHttp: () => ({ status: 200, contentType: 'text/plain', body: 'yes' }),
      },
    );
    const port = await transport.listen('127.0.0.1', 0);
    const socket = connect({ host: '127.0.0.1', port, allowHalfOpen: true });
    const lost = new Promise((resolve) => socket.once('error', resolve));
    socket.write('GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n');
    socket.resume();
    // What is written to a socket that is gone comes back as an error.
    const writing = setInterval(() => socket.write('x'), 50);
    expect(await lost).toMatchObject({ code: expect.stringMatching(/ECONNRESET|EPIPE/) as string });
    clearInterval(writing);
    await transport.close(0);
  },
  CLOSE_DEADLINE_MS + 5_000,
);
