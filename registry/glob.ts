/** A pattern of repository names or tags, ready to be asked. */
export type Glob = (text: string, user: string | undefined) => boolean;

const TOKEN = /\*\*|\*|\{user\}|[^*{]+|\{/g;

/**
 * `*` stands for anything without a slash, `**` for anything, `{user}` for the name of whoever asks (for nobody's where
 * it is not known). All else stands for itself.
 */
export function createGlob(pattern: string): Glob {
  if (pattern === '**') return () => true;
  const tokens: readonly string[] = pattern.match(TOKEN) ?? [];
  const [first = '', second] = tokens;
  // The usual ones, `team/app` and `team/**`, are on the way of every request.
  if (isWord(first) && tokens.length === 1) return (text) => text === first;
  if (isWord(first) && second === '**' && tokens.length === 2) return (text) => text.startsWith(first);
  if (isWord(first) && second === '*' && tokens.length === 2) {
    return (text) => text.startsWith(first) && !text.includes('/', first.length);
  }
  const canMatch = isWord(first) ? (text: string) => text.startsWith(first) : () => true;
  if (!tokens.includes('{user}')) return (text) => canMatch(text) && matches(tokens, text, '');
  // A name with a slash (of a certificate) would be a place inside somebody else's.
  return (text, user) => user !== undefined && !user.includes('/') && canMatch(text) && matches(tokens, text, user);
}

function isWord(token: string): boolean {
  return token !== '' && token !== '*' && token !== '**' && token !== '{user}';
}

/**
 * Not a regular expression: clients choose the names, and with a few stars an expression tries billions of ways before
 * it gives up. Here every token costs one pass over the text.
 */
function matches(tokens: readonly string[], text: string, user: string): boolean {
  let ends: ReadonlySet<number> = new Set([0]);
  for (const token of tokens) {
    if (token === '*' || token === '**') ends = endsOfStar(ends, text, token === '**');
    else ends = endsOfWord(ends, text, token === '{user}' ? user : token);
    if (ends.size === 0) return false;
  }
  return ends.has(text.length);
}

/** Where a star can end that begins at one of these places. */
function endsOfStar(starts: ReadonlySet<number>, text: string, takesSlashes: boolean): ReadonlySet<number> {
  const ends = new Set<number>();
  let isOpen = false;
  for (let place = 0; place <= text.length; place++) {
    isOpen = starts.has(place) || (isOpen && (takesSlashes || text[place - 1] !== '/'));
    if (isOpen) ends.add(place);
  }
  return ends;
}

function endsOfWord(starts: ReadonlySet<number>, text: string, word: string): ReadonlySet<number> {
  return new Set([...starts].filter((place) => text.startsWith(word, place)).map((place) => place + word.length));
}
