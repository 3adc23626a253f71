// The echo server, a process of its own as the node is. Options are those of the node's transport, so
// that the difference is what the node does with a message. Ends on SIGTERM and SIGINT.

import { IDLE_TIMEOUT_S, PAYLOAD_SLACK_BYTES } from '../../node/limits.js';
import { loadUws } from '../../node/transport/uws-binary.js';
import { FRAME_BYTES_MAX_DEFAULT } from '../../ts/wire/limits.js';

const found = loadUws();
if (!('binary' in found)) throw new Error(found.absent);
const { binary } = found;
const app = binary.App();
app.ws('/*', {
  maxPayloadLength: FRAME_BYTES_MAX_DEFAULT + PAYLOAD_SLACK_BYTES,
  idleTimeout: IDLE_TIMEOUT_S,
  sendPingsAutomatically: true,
  compression: binary.DISABLED,
  maxBackpressure: 0,
  message: (socket, message) => {
    socket.send(message, true, false);
  },
});
app.listen('127.0.0.1', 0, binary.LIBUS_LISTEN_EXCLUSIVE_PORT, (socket) => {
  if (!socket) throw new Error('the echo server found no port');
  process.stdout.write(`${JSON.stringify({ port: binary.us_socket_local_port(socket) })}\n`);
});
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => app.close());
