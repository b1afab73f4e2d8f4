import { homedir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { KNOWN_REGISTRIES, type KnownRegistry } from './known-registries.ts';

export const USAGE = `node bench/main.ts [options]

  --peer NAME            compare with: ${KNOWN_REGISTRIES.join(', ')} (default: docker-registry)
  --peer-url URL         compare with a registry that runs already
  --peer-pid PID         its first process, to see its CPU time and memory
  --peer-command SHELL   compare with this command; {address} and {root} are replaced
  --subject NAME         measure another registry in Entrepot's place (default: entrepot)
  --subject-args ARGS    more command line for Entrepot, split at blanks
  --rows ID              only this row, or those whose ids start so; may be repeated
  --rounds N             how often each side is measured (default: 5; rows that write gigabytes: 3 at most)
  --seconds N            how long one measurement lasts (default: 3)
  --quick                2 rounds of 1 second over fewer rows
  --json FILE            also write everything that was measured
  --readme               put the table into bench/README.md
  --directory DIR        where programs and data lie, on a disk (default: ~/.cache/entrepot-bench)
  --list                 print the rows and end
`;

/** What to compare with. */
export type PeerChoice =
  | { readonly kind: 'known'; readonly name: KnownRegistry }
  | { readonly kind: 'url'; readonly url: string; readonly pid: number | undefined }
  | { readonly kind: 'command'; readonly template: string };

export interface Options {
  readonly subject: KnownRegistry;
  readonly subjectArgs: readonly string[];
  readonly peer: PeerChoice;
  readonly rows: readonly string[];
  readonly rounds: number;
  readonly seconds: number;
  readonly isQuick: boolean;
  readonly json: string | undefined;
  readonly isForReadme: boolean;
  readonly directory: string;
  readonly isList: boolean;
  readonly isHelp: boolean;
}

/** @throws Error that says which option is wrong */
export function parseOptions(args: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...args],
    options: {
      peer: { type: 'string', default: 'docker-registry' },
      'peer-url': { type: 'string' },
      'peer-pid': { type: 'string' },
      'peer-command': { type: 'string' },
      subject: { type: 'string', default: 'entrepot' },
      'subject-args': { type: 'string', default: '' },
      rows: { type: 'string', multiple: true, default: [] },
      rounds: { type: 'string' },
      seconds: { type: 'string' },
      quick: { type: 'boolean', default: false },
      json: { type: 'string' },
      readme: { type: 'boolean', default: false },
      directory: { type: 'string', default: path.join(homedir(), '.cache', 'entrepot-bench') },
      list: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  return {
    subject: parseKnown('--subject', values.subject),
    subjectArgs: values['subject-args'].split(' ').filter((arg) => arg !== ''),
    peer: parsePeer(values.peer, values['peer-url'], values['peer-pid'], values['peer-command']),
    rows: values.rows,
    rounds: parseCount('--rounds', values.rounds ?? (values.quick ? '2' : '5')),
    seconds: parseCount('--seconds', values.seconds ?? (values.quick ? '1' : '3')),
    isQuick: values.quick,
    json: values.json,
    isForReadme: values.readme,
    directory: path.resolve(values.directory),
    isList: values.list,
    isHelp: values.help,
  };
}

function parsePeer(name: string, url?: string, pid?: string, template?: string): PeerChoice {
  if (url !== undefined)
    return { kind: 'url', url, pid: pid === undefined ? undefined : parseCount('--peer-pid', pid) };
  if (template !== undefined) return { kind: 'command', template };
  return { kind: 'known', name: parseKnown('--peer', name) };
}

function parseKnown(option: string, name: string): KnownRegistry {
  const known = KNOWN_REGISTRIES.find((candidate) => candidate === name);
  if (known === undefined) throw new Error(`${option} ${name}: one of ${KNOWN_REGISTRIES.join(', ')}`);
  return known;
}

function parseCount(option: string, text: string): number {
  const count = Number(text);
  if (!Number.isSafeInteger(count) || count < 1) throw new Error(`${option} ${text}: a whole number from 1`);
  return count;
}
