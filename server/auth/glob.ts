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
  if (!tokens.includes('{user}')) {
    const expression = expressionOf(tokens, '');
    return (text) => expression.test(text);
  }
  return (text, user) => user !== undefined && expressionOf(tokens, user).test(text);
}

function expressionOf(tokens: readonly string[], user: string): RegExp {
  return new RegExp(`^${tokens.map((token) => sourceOf(token, user)).join('')}$`, 's');
}

function sourceOf(token: string, user: string): string {
  if (token === '**') return '.*';
  if (token === '*') return '[^/]*';
  return RegExp.escape(token === '{user}' ? user : token);
}
