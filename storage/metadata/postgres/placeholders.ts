const translated = new Map<string, string>();

/** The statement with `$1`, `$2` ... for its `?`; each statement is translated once. What stands in quotes stays. */
export function numbered(sql: string): string {
  let statement = translated.get(sql);
  if (statement === undefined) {
    statement = translate(sql);
    translated.set(sql, statement);
  }
  return statement;
}

function translate(sql: string): string {
  let count = 0;
  return sql.replaceAll(/'(?:[^']|'')*'|"[^"]*"|\?/g, (found) => (found === '?' ? `$${++count}` : found));
}
