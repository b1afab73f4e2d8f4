const TITLE = 'entrepot: an image registry server\n\nUsage\n';

const USAGE = `  entrepot serve [--config FILE] [--address HOST:PORT] [--root DIR] [--workers N]
      Serve images. Without options: on 127.0.0.1:5000, from ./data, as many
      workers as it takes (at most one per core, and 4).
  entrepot config check FILE
      Say everything that is wrong with a configuration file.
  entrepot config show
      Print the configuration in force, defaults included, secrets hidden.
  entrepot config schema
      Print the JSON Schema of the configuration file, for editors.
  entrepot doctor
      Look for what goes wrong most: address, limits, disk, clock, rights, certificates.
  entrepot access explain USER ACTION REPOSITORY[:TAG] [ADDRESS]
      Say which rule lets a user pull, push, overwrite, delete or admin, or why none does.
  entrepot user add|passwd|disable|enable NAME
  entrepot user list
      Accounts in the store; a password is asked for, or is the first line of the input.
  entrepot token create NAME --user USER|--robot ROBOT [--actions LIST] [--repositories LIST]
                             [--tags LIST] [--expires DURATION|never]
      Make an access token that stands for its owner, within these limits (90d unless said).
  entrepot token list
  entrepot token revoke ID ...
      Show the access tokens, and end some.
  entrepot keys rotate
      Sign tokens with a new key; those that are out stay valid.
  entrepot retention preview [PATTERN] [--json]
      Say of each tag which rule keeps it or lets it go, and how many bytes that frees.
  entrepot retention run [--json]
      Follow the rules now, rather than within an hour.
  entrepot du [REPOSITORY[:TAG|@DIGEST]|PATTERN ...] [--json]
      Say what they take, what of it nobody else has, and what deleting them would free.
  entrepot quota [--json]
      Say how full the quotas are.
  entrepot gc status [--json]
      Say whether garbage is collected, what it waits for, and what it did last.
  entrepot gc plan [--json]
      Say which blobs nothing needs, how large they are, and when they go.
  entrepot gc run
      Remove now what is due; beside a running server or without one.
  entrepot gc undo [DIGEST ...]
      Bring back blobs that were removed within the last day, for the images that need them.
  entrepot gc hold [REASON]
  entrepot gc release [HOLD ...]
      Let the collection wait, and go on; "gc status" lists who wants it to wait, and why.
  entrepot index rebuild
      Read the whole tree again and correct the index, beside a running server or without one.
  entrepot index migrate --from sqlite --to postgres
      Copy the index, accounts, tokens and keys of a root into the database that index.postgres
      names, which must be empty; no server may run. Nothing in the root is changed.
  entrepot backup DIR [--keep N]
      Copy what is new in the store to a directory, beside a running server or without
      one; the last N snapshots are kept (7 unless said).
  entrepot backup list DIR
  entrepot backup verify DIR [--snapshot ID]
      Say which snapshots there are; pull every tag of one, and hash everything.
  entrepot restore DIR --root NEW [--snapshot ID]
      Make a store of a snapshot (the newest unless said), in an empty directory.
  entrepot tag history NAME[:TAG]
      Say where a tag pointed and when, and until when it can point there again.
  entrepot tag restore NAME:TAG [DIGEST]
  entrepot tag restore NAME --all
      Bring back what a tag was before its last change, or a digest of its history; or all
      tags that went with their repository. Beside a running server or without one.
  entrepot fsck [--repair] [--quick]
      Say whether everything is whole: tree and index against each other, every blob hashed
      (--quick: only its size). With --repair, put right what can be.
  entrepot fsck status
      Say how far the server is with reading its blobs again.
  entrepot read-only [on|off]
      Refuse pushes and deletions for now, while serving pulls; without a word, say how it is.
`;

const NOTES = `
Commands about a store take --root and --config: give them what the server has. retention, du, quota, gc, index,
backup, restore, tag and fsck take --json, for programs. "entrepot COMMAND --help" is about one command.
Every option is also a variable: ENTREPOT_CONFIG, ENTREPOT_ADDRESS, ENTREPOT_ROOT, ENTREPOT_WORKERS.
An option goes before its variable, a variable before the file. docs/configuration.md has all keys.
`;

/** What `entrepot help` prints, or `entrepot help COMMAND`; all of it where there is no such command. */
export function helpOn(command: string | undefined): string {
  const all = USAGE.split(/^(?=  entrepot )/m);
  const about = all.filter((entry) => [' ', '\n'].some((end) => entry.startsWith(`  entrepot ${command}${end}`)));
  return `${TITLE}${(about.length === 0 ? all : about).join('')}${NOTES}`;
}
