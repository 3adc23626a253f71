// The profiler's own parts: what perf and valgrind print is read as it is meant, samples are put to
// the right part of a frame's way, and the flame graph is well formed.

import { describe, expect, it } from 'vitest';
import { groupInstructions, parseCallgrind } from '../../bench/profile/callgrind.js';
import { foldCpuProfile } from '../../bench/profile/cpu-profile.js';
import { FOLD_SEPARATOR, flameGraph } from '../../bench/profile/flame.js';
import { type Frame, type Group, groupOf, groupOfSource } from '../../bench/profile/groups.js';
import { parsePerfScript } from '../../bench/profile/perf.js';
import { checkXml } from './bench-xml.js';

const ADDON = '/some/where/rondo-core.linux-x64-gnu.node';
const NODE = '/usr/bin/node';
const KERNEL = '[kernel.kallsyms]';

const SCRIPT = `  4711 
	ffff82010ddb tcp_sendmsg+0x2b ([kernel.kallsyms])
	          10aba4 __send+0x64 (/usr/lib/libc.so.6)

  4711 
	          b50bef v8::internal::(anonymous namespace)::Invoke(int)+0x13f (/usr/bin/node)
	    7f62f0090600 JS:^execute file:///a/dist/ts/engine/native-engine.js:44:12+0x80 (/tmp/perf-1.map)
	        309abe80 [unknown] ([unknown])

`;

describe('samples of perf', () => {
  it('have a thread and a stack, leaf first', () => {
    const samples = parsePerfScript(SCRIPT);
    expect(samples).toHaveLength(2);
    expect(samples[0]).toEqual({
      thread: 4711,
      stack: [
        { address: 0xffff82010ddb, symbol: 'tcp_sendmsg', library: KERNEL },
        { address: 0x10aba4, symbol: '__send', library: '/usr/lib/libc.so.6' },
      ],
    });
    expect(samples[1]?.stack.map(({ symbol }) => symbol)).toEqual([
      'v8::internal::(anonymous namespace)::Invoke(int)',
      'JS:^execute ts/engine/native-engine.js:44',
      '[unknown]',
    ]);
  });
});

describe('a sample belongs to', () => {
  const frame = (symbol: string, library: string, source?: string): Frame => ({
    symbol,
    library,
    source,
  });
  const engine = (module: string) => frame('x', ADDON, `/a/core-native/src/${module}.rs`);
  const cases: readonly [Group, readonly Frame[]][] = [
    ['send', [frame('tcp_ack', KERNEL), frame('__x64_sys_sendto', KERNEL)]],
    ['receive', [frame('tcp_recvmsg', KERNEL), frame('__x64_sys_recvfrom', KERNEL)]],
    ['receive', [frame('uv__io_poll', NODE)]],
    ['receive', [frame('consumeMessage', '/a/uws_linux_x64_115.node')]],
    ['send', [frame('uWS_WebSocket_send', '/a/uws_linux_x64_115.node')]],
    ['crossing', [frame('v8::internal::Builtin_HandleApiCall', NODE)]],
    ['crossing', [engine('lib')]],
    ['javascript', [frame('JS:*onMessage node/worker.js:81', '/tmp/perf-1.map')]],
    ['execute', [frame('Builtins_X', NODE), frame('JS:*find ts/engine/table.js:9', '/tmp/p.map')]],
    ['decode', [frame('JS:*check ts/wire/walk.js:9', '/tmp/p.map')]],
    ['javascript', [frame('JS:^execute ts/engine/native-engine.js:44', '/tmp/p.map')]],
    ['decode', [frame('memcmp', '/lib/libc.so.6'), engine('request'), engine('engine')]],
    ['execute', [frame('find', ADDON, '/cargo/hashbrown/raw.rs'), engine('table')]],
    ['encode', [engine('reply')]],
    ['garbage', [frame('memmove', NODE), frame('v8::internal::Scavenger::Process', NODE)]],
    ['other', [frame('[unknown]', '[unknown]')]],
  ];
  it.each(cases)('%s: %j', (group, stack) => {
    expect(groupOf(stack)).toBe(group);
  });

  it('the part of its module', () => {
    expect(groupOfSource('/a/core-native/src/generated/rondo_generated.rs')).toBe('decode');
    expect(groupOfSource('/a/core-native/src/keyspace.rs')).toBe('execute');
    expect(groupOfSource('/cargo/flatbuffers/src/verifier.rs')).toBeUndefined();
    expect(groupOfSource(undefined)).toBeUndefined();
  });
});

describe('counts of valgrind', () => {
  const TEXT = `ob=(1) /usr/bin/node
fn=(1) main
0x10 5 1000
ob=(2) ${ADDON}
fn=(2) rondo_core::execute
0x20 7 10
0x24 8 5
cob=(1)
cfn=(1)
calls=3 0x10 
0x28 9 900
0x20 7 10
fn=(3) flatbuffers::verifier::visit
0x30 1 4
ob=(1)
fn=(1)
0x10 5 1
`;

  it('are those of the addon itself, without what it calls', () => {
    const { library, byAddress } = parseCallgrind(TEXT);
    expect(library).toBe(ADDON);
    expect([...byAddress].map(([address, { count }]) => [address, count])).toEqual([
      [0x20, 20],
      [0x24, 5],
      [0x30, 4],
    ]);
  });

  it('go to the innermost function of the engine, and else to the kind of library', () => {
    const inlined = new Map([
      [0x20, [{ symbol: 'get', source: '/a/core-native/src/table.rs' }]],
      [
        0x24,
        [
          { symbol: 'index', source: '/rust/core/slice.rs' },
          { symbol: 'decode', source: '/a/core-native/src/operation.rs' },
        ],
      ],
    ]);
    const groups = groupInstructions(parseCallgrind(TEXT), inlined);
    expect(Object.fromEntries([...groups].filter(([, count]) => count > 0))).toEqual({
      execute: 20,
      decode: 9,
    });
  });
});

describe("V8's profile", () => {
  it('is folded without idle time', () => {
    const frame = (functionName: string, url = '') => ({ functionName, url, lineNumber: 9 });
    const { stacks, groups } = foldCpuProfile(
      JSON.stringify({
        nodes: [
          { id: 1, callFrame: frame('(root)'), children: [2, 3, 4] },
          { id: 2, callFrame: frame('(idle)') },
          { id: 3, callFrame: frame('(garbage collector)') },
          { id: 4, callFrame: frame('onMessage', 'file:///a/dist/node/worker.js') },
        ],
        samples: [2, 2, 3, 4, 4],
      }),
    );
    expect(Object.fromEntries(groups)).toEqual({ garbage: 1, javascript: 2 });
    expect([...stacks.keys()]).toEqual(['(garbage collector)', 'JS:onMessage node/worker.js:10']);
  });
});

describe('a flame graph', () => {
  const stacks = new Map([
    [['main', 'a<b>', 'c & "d"'].join(FOLD_SEPARATOR), 3],
    [['main', 'e'].join(FOLD_SEPARATOR), 1],
  ]);

  it('is well formed and has each frame as wide as its share', () => {
    const svg = flameGraph(stacks, 'a & b');
    expect(checkXml(svg)).toBeUndefined();
    expect(svg).toContain('<title>a&lt;b&gt;, 3 samples, 75.0 %</title>');
    expect(svg).toContain('data-x="900.00" data-w="300.00"');
    expect(svg).toContain('4 samples');
  });

  it('has no frame that could not be seen', () => {
    const many = new Map([...stacks, ['rare', 1], ['frequent', 1_000_000]]);
    expect(flameGraph(many, '')).not.toContain('rare');
  });
});
