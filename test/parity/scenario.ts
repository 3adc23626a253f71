// Golden scenarios: text files that a person can read, run by each engine on its own. A block is
// commands, `----`, and what the engine answers; a blank line ends it. UPDATE_SCENARIOS=1 writes the
// answers anew. (The form is that of CockroachDB's datadriven tests.)
//
// Words are bare or JSON strings; hex:ff00 gives bytes, fill:1000:a gives 1,000 times `a`.
//   engine [partitions=N] [value-bytes-max=N] [memory-bytes-max=N]    a new engine, at time 0
//   time T | advance T                                                set time | and expire what is due
//   get K [keys-only] | put K V [if-absent] [if-revision=N] [ttl=N|ttl=keep]
//   delete K [if-revision=N] | increment K D [ttl=N|ttl=keep] | touch K [ttl=N]
//   scan P [limit=N] [cursor=K] [keys-only]
//   frame                      the commands below it, to the end of the block, as one frame
//   operation code=N [flags=N] [limit=N] [ttl=N] [expected=N] [id=N] [key=K] [value=V]
//   bytes HEX                  a frame as it is
//   state | memory | revision K | partition K
//   durable N | refuse STATUS  the newest append that is durable | what writes are refused with (OK: not);
//                              from the first `durable` on, each answer ends with its append and gate
//   session N [ttl=N] | resume N [wrong-secret] | as N         open | resume | whose frames follow (0: none's)
//   lock K [shared|permits=N|upgrade=TOKEN] [wait=N|wait=forever] [lease=N] [reentrant]
//   unlock K TOKEN | downgrade K TOKEN | extend K TOKEN [lease=N] | cancel K ID | renew | end-session
//   locks                      every lock with its holders and waiters
//   any operation: id=N, fence=LOCK:TOKEN, ephemeral, once
//   fold                       folds all records so far into a second engine and goes on with that

import {
  type Engine,
  type EngineOptions,
  INPUT_DURABLE,
  INPUT_WRITE_REFUSAL,
  OUTCOME_APPEND,
  OUTCOME_GATE,
} from '../../ts/engine/engine.js';
import { FLAG_ENTRY, FLAG_MORE } from '../../ts/wire/layout.js';
import { STATUS_COUNT, Status, statusName } from '../../ts/wire/status.js';
import { digestOf } from '../drive/coordination.js';
import { Drive, type Left, type Outcome, type Result } from '../drive/drive.js';
import { type CreateEngine, OPTIONS } from '../drive/engines.js';
import {
  bytes,
  del,
  get,
  increment,
  type Operation,
  put,
  scan,
  touch,
} from '../drive/operations.js';
import { type EffectRecord, RECORD_KINDS } from '../drive/records.js';
import {
  AGENT_FLAGS,
  agentOperationOf,
  showAgentRecords,
  showLocks,
  showNotice,
  withWords,
} from './scenario-agents.js';

/** Runs a scenario file and returns it with the answers of this engine. */
export function runScenario(file: string, create: CreateEngine): string {
  const run = new Run(create);
  const output: string[] = [];
  let commands: string[] = [];
  let skipping = false;
  try {
    for (const line of file.split('\n')) {
      if (skipping) {
        if (line === '') skipping = false;
        continue;
      }
      if (line !== '----') {
        output.push(line);
        if (line !== '' && !line.startsWith('#')) commands.push(line);
        continue;
      }
      output.push(line, ...run.block(commands), '');
      commands = [];
      skipping = true;
    }
  } finally {
    run.close();
  }
  if (commands.length > 0) throw new Error(`commands without an answer: ${commands.join('; ')}`);
  return output.join('\n');
}

class Run {
  private options: EngineOptions = { ...OPTIONS, partitions: 1 };
  private readonly engines: Engine[] = [];
  private drive: Drive;
  private log: Uint8Array[] = [];
  /** Whose frames they are. */
  private session = 0;

  constructor(private readonly create: CreateEngine) {
    this.drive = this.open();
  }

  close(): void {
    for (const engine of this.engines) engine.close();
  }

  block(lines: readonly string[]): string[] {
    const output: string[] = [];
    const frameAt = lines.indexOf('frame');
    const single = frameAt < 0 ? lines : lines.slice(0, frameAt);
    for (const line of single) output.push(...this.command(line));
    if (frameAt >= 0) {
      const operations = lines.slice(frameAt + 1).map((line) => operationOf(words(line)));
      output.push(...this.show(this.drive.as(this.session, ...operations), operations.length > 1));
    }
    return output;
  }

  private open(): Drive {
    const engine = this.create(this.options);
    this.engines.push(engine);
    this.drive = new Drive(engine);
    this.drive.now = 0;
    return this.drive;
  }

  private command(line: string): string[] {
    const parsed = words(line);
    const { name, args, named } = parsed;
    const { drive } = this;
    const first = args[0] ?? new Uint8Array(0);
    switch (name) {
      case 'engine':
        this.options = {
          ...OPTIONS,
          partitions: number(named, 'partitions') ?? 1,
          valueBytesMax: number(named, 'value-bytes-max') ?? OPTIONS.valueBytesMax,
          memoryBytesMax: number(named, 'memory-bytes-max') ?? 0,
        };
        this.log = [];
        this.open();
        return [];
      case 'time':
        drive.now = Number(ascii(first));
        return [];
      case 'advance': {
        drive.now = Number(ascii(first));
        const left = drive.advance(drive.now);
        return [`${left.expired} expired`, ...this.showLeft(left)];
      }
      case 'session': {
        const opened = drive.openSession(Number(ascii(first)), number(named, 'ttl') ?? 10_000);
        return [opened.status, ...this.showLeft(opened), ...showGate(drive.engine)];
      }
      case 'resume': {
        const id = Number(ascii(first));
        const resumed = drive.resumeSession(id, digestOf(named.has('wrong-secret') ? id + 1 : id));
        return [resumed.status, ...this.showLeft(resumed)];
      }
      case 'as':
        this.session = Number(ascii(first));
        return [];
      case 'locks':
        return showLocks(drive);
      case 'state': {
        const held = drive.state();
        return held.length === 0
          ? ['empty']
          : held.map(({ key, value, revision, ttlMs }) =>
              [
                shown(Buffer.from(key, 'latin1')),
                '=',
                shown(Buffer.from(value, 'latin1')),
                `revision=${revision}`,
                ...ttlPart(ttlMs),
              ].join(' '),
            );
      }
      case 'durable':
        drive.engine.input[INPUT_DURABLE] = Number(ascii(first));
        return [];
      case 'refuse':
        drive.engine.input[INPUT_WRITE_REFUSAL] = statusNamed(ascii(first));
        return [];
      case 'memory':
        return [`${drive.keys} keys, ${drive.memoryBytes} bytes`];
      case 'partition':
        return [`${drive.engine.partitionOf(first)}`];
      case 'revision':
        return [`${drive.engine.revisionOf(drive.engine.partitionOf(first))}`];
      case 'bytes':
        return this.show(
          drive.frame(Uint8Array.from(Buffer.from(ascii(first), 'hex')).buffer),
          false,
        );
      case 'fold': {
        const { now } = drive;
        const log = Buffer.concat(this.log);
        const folded = this.open();
        folded.now = now;
        folded.engine.fold(log);
        return [`${log.length} bytes folded`];
      }
      default:
        return this.show(drive.as(this.session, operationOf(parsed)), false);
    }
  }

  private show(outcome: Outcome, many: boolean): string[] {
    if (outcome.refusal !== Status.Ok) return [`frame refused: ${statusName(outcome.refusal)}`];
    return [
      ...outcome.results.map((result) => (many ? `#${result.id} ` : '') + showResult(result)),
      ...this.showLeft(outcome),
      ...showGate(this.drive.engine),
    ];
  }

  /** Records and notices of a call; the records are kept for `fold`. */
  private showLeft({ records, recordBytes, notices }: Left): string[] {
    this.log.push(recordBytes);
    const others = showAgentRecords(recordBytes);
    return [
      ...records.map((record, at) => others[at] ?? showRecord(record)),
      ...notices.map(showNotice),
    ];
  }
}

interface Words {
  readonly name: string;
  readonly args: Uint8Array[];
  readonly named: ReadonlyMap<string, Uint8Array>;
}

function words(line: string): Words {
  const found = line.match(/(?:[^\s"]+|"(?:[^"\\]|\\.)*")+/g) ?? [];
  const [name = '', ...rest] = found;
  const named = new Map<string, Uint8Array>();
  const args: Uint8Array[] = [];
  for (const word of rest) {
    const pair = /^([a-z-]+)=(.*)$/s.exec(word);
    if (pair !== null) named.set(pair[1]!, content(pair[2]!));
    else if (['keys-only', 'if-absent', ...AGENT_FLAGS].includes(word))
      named.set(word, content(''));
    else args.push(content(word));
  }
  return { name, args, named };
}

function content(word: string): Uint8Array {
  if (word.startsWith('"')) return bytes(JSON.parse(word) as string);
  if (word.startsWith('hex:')) return Uint8Array.from(Buffer.from(word.slice(4), 'hex'));
  const fill = /^fill:(\d+):(.)$/.exec(word);
  return bytes(fill === null ? word : fill[2]!.repeat(Number(fill[1])));
}

function operationOf(words: Words): Operation {
  const { name, args, named } = words;
  return withWords(agentOperationOf(name, args, named) ?? keyOperationOf(words), named);
}

function keyOperationOf({ name, args, named }: Words): Operation {
  const [key = new Uint8Array(0), value = new Uint8Array(0)] = args;
  const ttlWord = named.get('ttl');
  const ttlText = ttlWord === undefined ? undefined : ascii(ttlWord);
  const ttl = ttlText === undefined ? undefined : ttlText === 'keep' ? 'keep' : Number(ttlText);
  const revision = number(named, 'if-revision');
  const ifRevision = revision === undefined ? {} : { ifRevision: revision };
  const keysOnly = named.has('keys-only');
  switch (name) {
    case 'get':
      return get(key, { keysOnly });
    case 'put':
      return put(key, value, { ...ifRevision, ifAbsent: named.has('if-absent'), ttl });
    case 'delete':
      return del(key, ifRevision);
    case 'increment':
      return increment(key, BigInt(ascii(value)), ttl);
    case 'touch':
      return touch(key, typeof ttl === 'number' ? ttl : undefined);
    case 'scan':
      return scan(key, {
        keysOnly,
        limit: number(named, 'limit') ?? 100,
        cursor: named.get('cursor') ?? '',
      });
    case 'operation':
      return {
        code: number(named, 'code') ?? 0,
        id: number(named, 'id') ?? 1,
        flags: number(named, 'flags') ?? 0,
        limit: number(named, 'limit') ?? 0,
        ttlMs: BigInt(ttlText ?? 0),
        expectedRevision: BigInt(ascii(named.get('expected') ?? bytes('0'))),
        key: named.get('key') ?? new Uint8Array(0),
        value: named.get('value') ?? new Uint8Array(0),
      };
    default:
      throw new Error(`no such command: ${name}`);
  }
}

function showResult(result: Result): string {
  const { status, flags, key, value, count, revision, ttlMs } = result;
  if ((flags & FLAG_ENTRY) !== 0) {
    return ['entry', shown(key), '=', shown(value), `revision=${revision}`, ...ttlPart(ttlMs)].join(
      ' ',
    );
  }
  const parts = [status];
  if (revision !== 0) parts.push(`revision=${revision}`);
  parts.push(...ttlPart(ttlMs));
  if (count !== 0) parts.push(`count=${count}`);
  if ((flags & FLAG_MORE) !== 0) parts.push(`more cursor=${shown(value)}`);
  else if (value.length > 0) parts.push(`value=${shown(value)}`);
  return parts.join(' ');
}

function showRecord(record: EffectRecord): string {
  const { kind, partition, revision, time, expiresAt, key, value } = record;
  const name = RECORD_KINDS[kind] ?? `kind ${kind}`;
  const parts = [`  record ${name} ${shown(key)}`];
  if (name === 'put') parts.push('=', shown(value));
  parts.push(`partition=${partition} revision=${revision} time=${time}`);
  if (expiresAt !== 0) parts.push(`expires=${expiresAt}`);
  return parts.join(' ');
}

/** The newest append and what the reply waits for, where there is a log to wait for. */
function showGate({ input, outcome }: Engine): string[] {
  if (input[INPUT_DURABLE] === Infinity) return [];
  const gate = outcome[OUTCOME_GATE];
  const waits = gate === 0 ? 'leaves at once' : `waits for append ${gate}`;
  return [`  reply ${waits}, newest append ${outcome[OUTCOME_APPEND]}`];
}

function statusNamed(name: string): number {
  for (let status = 0; status < STATUS_COUNT; status++) {
    if (statusName(status) === name) return status;
  }
  throw new Error(`no such status: ${name}`);
}

/** As a word where it is one, as JSON where it is UTF-8, as hex where not; long runs abridged. */
function shown(content: Uint8Array): string {
  const text = Buffer.from(content).toString();
  if (content.length > 40 && content.every((byte) => byte === content[0])) {
    return `fill:${content.length}:${text[0]}`;
  }
  if (Buffer.compare(Buffer.from(text), content) !== 0) {
    return `hex:${Buffer.from(content).toString('hex')}`;
  }
  return /^[\w/{}.:-]+$/.test(text) ? text : JSON.stringify(text);
}

function ttlPart(ttlMs: number): string[] {
  return ttlMs === 0 ? [] : [`ttl=${ttlMs}`];
}

function number(named: ReadonlyMap<string, Uint8Array>, name: string): number | undefined {
  const word = named.get(name);
  return word === undefined ? undefined : Number(ascii(word));
}

function ascii(word: Uint8Array): string {
  return Buffer.from(word).toString('latin1');
}
