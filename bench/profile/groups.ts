// Which part of a frame's way a sample belongs to. A sample counts for the first frame, from the leaf
// outwards, that a rule knows: what `memcpy` or a lock costs belongs to whoever called it.

export const GROUPS = [
  'receive',
  'crossing',
  'javascript',
  'decode',
  'execute',
  'encode',
  'send',
  'garbage',
  'other',
] as const;
export type Group = (typeof GROUPS)[number];

/** What each group is made of, for the table. */
export const MEANINGS: Record<Group, string> = {
  receive: 'transport in: epoll, the kernel reading the socket, uWebSockets.js parsing',
  crossing:
    'between uWebSockets.js, JavaScript and the addon: V8, Node-API and the glue of napi-rs',
  javascript: "the worker's own code",
  decode: 'the check of the frame and of each operation (`request`, `operation`)',
  execute: 'keyspace, table, arena, index, expiry: what the operations do',
  encode: 'reply and effect records (`reply`, `records`)',
  send: 'transport out: framing and the kernel writing the socket',
  garbage: "V8's garbage collection, on any thread",
  other: 'all else: timers, compilation, helper threads, frames without a name',
};

/** One frame of a stack. */
export interface Frame {
  readonly symbol: string;
  /** The file it comes from: a library, `[kernel.kallsyms]`, or a map of compiled JavaScript. */
  readonly library: string;
  /** The source file, where debug information tells it. */
  readonly source?: string | undefined;
}

/** By module of the native engine; those not named here execute. */
const MODULES: Record<string, Group> = {
  lib: 'crossing',
  request: 'decode',
  operation: 'decode',
  rondo_generated: 'decode',
  reply: 'encode',
  records: 'encode',
};

/** The group of a source file of the native engine; undefined for the files of others. */
export function groupOfSource(source: string | undefined): Group | undefined {
  const module = /core-native\/src\/(?:generated\/)?(\w+)\.rs$/.exec(source ?? '')?.[1];
  return module === undefined ? undefined : (MODULES[module] ?? 'execute');
}

const ADDON = /rondo-core\.[^/]*\.node$/;
const UWS = /uws_[^/]*\.node$/;
const KERNEL = /^\[(?:kernel|guest\.kernel|vdso)/;
/** V8's own pieces of code belong to the function that uses them. */
const BUILTIN = /^Builtins_(?!HandleApiCall|JSEntry|CEntry)/;

/** By module of the TypeScript engine, and what the wire layer does for it. */
const SCRIPTS: Record<string, Group> = {
  request: 'decode',
  walk: 'decode',
  columns: 'decode',
  operation: 'decode',
  reply: 'encode',
  records: 'encode',
  'native-engine': 'javascript',
};

/** The group of a JavaScript function, named as `JS:name ts/engine/table.js:12`. */
export function groupOfScript(symbol: string): Group {
  const found = /\bts\/(engine|wire)\/([\w-]+)\.js/.exec(symbol);
  if (!found) return 'javascript';
  return SCRIPTS[found[2] ?? ''] ?? (found[1] === 'engine' ? 'execute' : 'javascript');
}

const SEND =
  /sys_(?:sendto|sendmsg|write|writev)|^__?(?:send|write|writev)$|us_socket_.*write|bsd_(?:send|write)/;
const RECEIVE =
  /sys_(?:recv|read|epoll|futex|clock)|^__?(?:recv|read)$|epoll_|uv__io_poll|^uv_|bsd_recv|us_loop|us_internal/;
const GARBAGE =
  /Heap::|Scaveng|MarkCompact|Marking|Sweep|GarbageCollect|ArrayBufferSweeper|Evacuat/;
const CROSSING =
  /^(?:napi_|v8impl|_?napi)|HandleApiCall|FunctionCallbackArguments|v8::(?:Function|ArrayBuffer|Uint8Array|Object|External|HandleScope|Context|Isolate|String|Number|Value|BackingStore)|MakeCallback|CallbackScope|JSEntry|Execution::|BackingStore|Builtin_|_c_callback|node::Buffer|CEntry/;

/** Stack from the leaf outwards. */
export function groupOf(stack: readonly Frame[]): Group {
  if (stack.some(({ symbol }) => GARBAGE.test(symbol))) return 'garbage';
  for (const frame of stack) {
    const group = groupOfFrame(frame);
    if (group === 'kernel')
      return stack.some(({ symbol }) => SEND.test(symbol)) ? 'send' : 'receive';
    if (group !== undefined) return group;
  }
  return stack.some(({ symbol }) => BUILTIN.test(symbol)) ? 'javascript' : 'other';
}

function groupOfFrame({ symbol, library, source }: Frame): Group | 'kernel' | undefined {
  if (KERNEL.test(library)) return 'kernel';
  const bySource = groupOfSource(source);
  if (bySource !== undefined) return bySource;
  if (ADDON.test(library)) return /napi/.test(symbol) ? 'crossing' : undefined;
  if (CROSSING.test(symbol)) return 'crossing';
  if (symbol.startsWith('JS:')) return groupOfScript(symbol);
  if (SEND.test(symbol)) return 'send';
  if (UWS.test(library)) {
    return /WebSocket_send|::send|formatMessage|write/i.test(symbol) ? 'send' : 'receive';
  }
  return RECEIVE.test(symbol) ? 'receive' : undefined;
}
