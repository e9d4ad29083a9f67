/**
 * Which rules cannot take long whatever they are given: comparisons of `r`'s properties with constants, and the methods
 * of strings that look at each character once. A time limit costs a thread each time, more than the rest of a decision.
 */

const TOKEN =
  /\s+|'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"|\d+(?![\w$.])|r\.query\.[A-Za-z_]\w*|[A-Za-z_]\w*|[=!]==?|[<>]=?|&&|\|\||\?\?|\?\.|[!()[\].,?:{}+]/y;

const NAMES = new Set([
  ...["r", "method", "scheme", "host", "port", "path", "url", "query", "length"],
  ...["startsWith", "endsWith", "includes", "toLowerCase", "toUpperCase"],
  ...["true", "false", "null", "undefined", "in", "allow", "message"],
]);

export function isPlainExpression(text: string): boolean {
  for (let at = 0; at < text.length; at = TOKEN.lastIndex) {
    TOKEN.lastIndex = at;
    const token = TOKEN.exec(text)?.[0];
    if (token === undefined) return false;
    if (/^[A-Za-z_]\w*$/.test(token) && !NAMES.has(token)) return false;
  }
  return true;
}
