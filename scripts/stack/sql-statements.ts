// What a semicolon may stand in without ending a statement, and the words that open and close a function body written
// as `begin atomic … end`. Everything else is passed over character by character.
const token =
  /--[^\n]*|\/\*|'(?:[^']|'')*'|"(?:[^"]|"")*"|\$([A-Za-z_\u0080-\uffff][\w\u0080-\uffff]*)?\$|[A-Za-z_][\w$]*|;|[^]/gy;
const escapeString = /'(?:[^'\\]|''|\\[^])*'/y;

/**
 * Splits a script into statements the way the Supabase CLI records them: comments stay with the statement that follows,
 * the semicolon and surrounding blanks go.
 */
export function splitStatements(sql: string): string[] {
  const statements: string[] = [];
  let start = 0;
  let blocks = 0; // open `begin atomic` and the `case` within them
  let previousWord = '';
  token.lastIndex = 0;
  for (let match = token.exec(sql); match; match = token.exec(sql)) {
    const text = match[0];
    if (text === '/*') token.lastIndex = endOfComment(sql, match.index);
    else if (text.startsWith('$') && text.length > 1) {
      const close = sql.indexOf(text, token.lastIndex);
      token.lastIndex = close === -1 ? sql.length : close + text.length;
    } else if (text === ';') {
      if (blocks > 0) continue;
      push(sql.slice(start, match.index));
      start = token.lastIndex;
      previousWord = '';
    } else if (/^[A-Za-z_]/.test(text)) {
      const word = text.toLowerCase();
      if (word === 'e' && sql[token.lastIndex] === "'") {
        escapeString.lastIndex = token.lastIndex;
        if (escapeString.test(sql)) token.lastIndex = escapeString.lastIndex;
      }
      if (word === 'atomic' && previousWord === 'begin') blocks = 1;
      else if (blocks > 0 && word === 'case') blocks += 1;
      else if (blocks > 0 && word === 'end') blocks -= 1;
      previousWord = word;
    }
  }
  push(sql.slice(start));
  return statements;

  function push(text: string) {
    const statement = text.trim();
    if (statement !== '') statements.push(statement);
  }
}

/** Where a block comment that begins at `start` ends; such comments may be nested. */
function endOfComment(sql: string, start: number): number {
  const edge = /\/\*|\*\//g;
  edge.lastIndex = start;
  let depth = 0;
  for (let match = edge.exec(sql); match; match = edge.exec(sql)) {
    depth += match[0] === '/*' ? 1 : -1;
    if (depth === 0) return edge.lastIndex;
  }
  return sql.length;
}
