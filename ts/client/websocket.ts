// The WebSocket that a connection runs on: the platform's own, one passed in, or the package `ws`,
// which is loaded only where neither exists (Node before 22).

/** What the client needs of a WebSocket. The handlers are assigned, never read. */
export interface WebSocketLike {
  binaryType: string;
  readonly readyState: number;
  readonly bufferedAmount: number;
  onopen: unknown;
  onmessage: unknown;
  onclose: unknown;
  onerror: unknown;
  send(data: Uint8Array<ArrayBuffer>): void;
  close(code?: number, reason?: string): void;
}

export type WebSocketConstructor = new (url: string) => WebSocketLike;

/** `readyState` of a socket that takes data. */
export const SOCKET_OPEN = 1;

/** The constructor to use; a promise only where a package must be loaded for it. */
export function webSocketConstructor(
  passed: WebSocketConstructor | undefined,
): WebSocketConstructor | Promise<WebSocketConstructor> {
  return passed ?? globalThis.WebSocket ?? loadPackage();
}

async function loadPackage(): Promise<WebSocketConstructor> {
  const { WebSocket } = await import('ws');
  return class extends WebSocket {
    constructor(url: string) {
      super(url, { perMessageDeflate: false, generateMask });
    }
  };
}

const maskPool = new Uint32Array(1024);
let masksUsed = maskPool.length;

/**
 * Four random bytes, never all zero: with a mask of zeros `ws` would queue the caller's buffer itself
 * in place of a masked copy, and frames are written into one buffer after another.
 */
function generateMask(mask: Uint8Array): void {
  let random = 0;
  while (random === 0) {
    if (masksUsed === maskPool.length) {
      crypto.getRandomValues(maskPool);
      masksUsed = 0;
    }
    random = maskPool[masksUsed++] ?? 0;
  }
  mask[0] = random;
  mask[1] = random >>> 8;
  mask[2] = random >>> 16;
  mask[3] = random >>> 24;
}

/** Ends a socket without waiting for its peer, where the platform can. */
export function terminate(socket: WebSocketLike): void {
  const { terminate: end } = socket as { terminate?: () => void };
  if (typeof end === 'function') end.call(socket);
  else socket.close();
}
