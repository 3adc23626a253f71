// What a client asked of one key, when, and what it was told: the entries of a history.
//
// Times come from one clock that never stands still (a counter will do). An operation has its effect
// at one moment between `called` and `returned`. Where the answer never came, the outcome is
// `unknown`: then it has its effect at one such moment or never, and `returned` is the last moment at
// which it still could, Infinity where there is none. A crash is such a moment: what a killed
// process had not done by then it does not do later.

export type Action =
  | { readonly code: 'get' }
  | { readonly code: 'put'; readonly value: string }
  | { readonly code: 'put-if-absent'; readonly value: string }
  /** `expected` 0 asks for absence. */
  | { readonly code: 'put-if-revision'; readonly value: string; readonly expected: number }
  | { readonly code: 'delete' }
  | { readonly code: 'delete-if-revision'; readonly expected: number }
  | { readonly code: 'increment'; readonly delta: bigint };

export type Outcome =
  /** `value`: of a get, or the sum. `revision`: of what was read or made, where the client was told. */
  | { readonly status: 'ok'; readonly value?: string; readonly revision?: number | undefined }
  | { readonly status: 'not-found' }
  /** `revision`: the present one, 0 where the key is absent, where the client was told. */
  | { readonly status: 'condition-failed'; readonly revision?: number | undefined }
  | { readonly status: 'not-a-number' }
  | { readonly status: 'unknown' };

export interface Operation {
  readonly key: string;
  readonly client: number;
  readonly action: Action;
  readonly outcome: Outcome;
  readonly called: number;
  readonly returned: number;
}

const SHOWN_MAX = 40;

function shown(value: string): string {
  const quoted = JSON.stringify(value);
  return quoted.length <= SHOWN_MAX ? quoted : `${quoted.slice(0, SHOWN_MAX)}… (${value.length})`;
}

function actionText(action: Action): string {
  switch (action.code) {
    case 'put':
    case 'put-if-absent':
      return `${action.code} ${shown(action.value)}`;
    case 'put-if-revision':
      return `put ${shown(action.value)} if revision ${action.expected}`;
    case 'delete-if-revision':
      return `delete if revision ${action.expected}`;
    case 'increment':
      return `increment by ${action.delta}`;
    default:
      return action.code;
  }
}

function outcomeText(outcome: Outcome): string {
  if (outcome.status === 'unknown') return 'no answer';
  const parts: string[] = [outcome.status];
  if ('value' in outcome && outcome.value !== undefined) parts.push(shown(outcome.value));
  if ('revision' in outcome && outcome.revision !== undefined) parts.push(`@${outcome.revision}`);
  return parts.join(' ');
}

/** An operation as a line: its interval, who asked, what for, and the answer. */
export function operationText({ called, returned, client, action, outcome }: Operation): string {
  const until = returned === Number.POSITIVE_INFINITY ? '∞' : String(returned);
  const interval = `[${String(called).padStart(6)}, ${until.padStart(6)}]`;
  return `${interval} client ${client}: ${actionText(action)} -> ${outcomeText(outcome)}`;
}
