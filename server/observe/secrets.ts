/**
 * What stands in the log in place of a secret.
 *
 * Hiding works on text and not on objects: a secret that got into a message, a URL or an error is hidden as well.
 */
export const HIDDEN = '***';

const SECRET_NAME = /token|passw|secret|signature|credential|authorization|cookie|api[-_]?key|^sig$|^auth$|^pwd$/i;

/** Whether a query parameter or a header of this name carries a secret; the name may be percent-encoded. */
export function isSecretName(name: string): boolean {
  return SECRET_NAME.test(name.includes('%') ? decoded(name) : name);
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

// `;` and a second `?` part parameters in nobody's standard, but in some people's mistakes.
const PARAMETER = /([?&;\s"(])([^?&;#=\s"(\\]{1,64})=[^?&;#\s"\\]*/g;

// Access and refresh tokens of this registry, and tokens in the form of RFC 7519, wherever somebody put them.
// One begins where its letters begin: each run of them is looked at once, however it was made.
const TOKENS = /(?<![A-Za-z0-9_-])(?:entrepot_(?:at|rt)_[A-Za-z0-9_-]+|eyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]+){1,2})/g;

/** Text with every token in it hidden. */
export function hideTokens(text: string): string {
  if (!text.includes('entrepot_') && !text.includes('eyJ')) return text;
  return text.replaceAll(TOKENS, HIDDEN);
}

/** The raw request target with the values of secret-looking parameters and any userinfo hidden. */
export function hideTargetSecrets(target: string): string {
  return hideTokens(hideUserinfo(target.includes('=') ? hideParameters(target) : target));
}

function hideParameters(text: string): string {
  return text.replaceAll(PARAMETER, (pair, before: string, name: string) =>
    isSecretName(name) ? `${before}${name}=${HIDDEN}` : pair,
  );
}

/** Text with the `user:password@` of every URL in it hidden, percent-encoded URLs included. */
export function hideUserinfo(text: string): string {
  if (!text.includes('@') && !text.includes('%40')) return text;
  return text
    .replaceAll(/\/\/[^/?#\s"@]*@(?:[^/?#\s"@]*@)*/g, `//${HIDDEN}@`)
    .replaceAll(/(%3A%2F%2F)(?:(?!%2F|%3F|%40)[^&\s"/])*%40/gi, `$1${HIDDEN}%40`);
}

// After the scheme of an Authorization header. A word in lower case is prose, `realm=` a challenge.
const CREDENTIALS = /\b([Bb]asic|[Bb]earer|BASIC|BEARER|Negotiate)(?:\s+|%20)(?![a-z]+\b|realm=)[^\s"\\,;]+/g;
// One member of an object: the name, then a string or an array of strings.
const MEMBER = /"([^"\\]{1,64})":("(?:[^"\\]|\\.)*"|\[(?:"(?:[^"\\]|\\.)*",?)*\])/g;

/** One line of JSON with everything hidden that looks like a secret: members by their name, and inside of any text. */
export function hideLineSecrets(line: string): string {
  const members = line.replaceAll(MEMBER, (member, name: string) =>
    isSecretName(name) ? `"${name}":"${HIDDEN}"` : member,
  );
  return hideTokens(hideUserinfo(hideParameters(members.replaceAll(CREDENTIALS, `$1 ${HIDDEN}`))));
}
