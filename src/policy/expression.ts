/**
 * The syntax of a rule in JavaScript (`--rule`): one expression over `r`. It is only parsed here, never run; running is
 * the hook process's business (src/egress/hooks). The text is the user's own.
 */
import { Script } from "node:vm";
import { SbxError } from "../runtime/errors.ts";

/** Longest expression, `characters`: more than that belongs into a hook. */
export const MAX_EXPRESSION_CHARS = 4096;

const HINT = `a rule is one JavaScript expression, such as --rule "r.method === 'GET' && r.host.endsWith('.example.com')"`;

/** The expression as source of a function of `r`. Line breaks keep a comment at its end from hiding what follows. */
export function expressionSource(text: string): string {
  return `"use strict";((r)=>(\n${text}\n))`;
}

/**
 * Checks that the text is one expression.
 *
 * @throws SbxError `usage` with the text and the place
 */
export function checkExpression(text: string): void {
  if (text.trim() === "") throw new SbxError("usage", "a rule in JavaScript is empty", { hint: HINT });
  if (text.length > MAX_EXPRESSION_CHARS) {
    throw new SbxError("usage", `a rule in JavaScript has ${text.length} characters, at most ${MAX_EXPRESSION_CHARS}`, {
      hint: "write a hook for what is longer (docs/hooks.md)",
    });
  }
  const problem = findSyntaxError(text);
  if (problem !== undefined) {
    throw new SbxError("usage", `the rule ${JSON.stringify(text)} is not a JavaScript expression: ${problem}`, {
      hint: HINT,
    });
  }
}

/** Two shapes around it, so that a text which closes the one and opens another is not taken for an expression. */
function findSyntaxError(text: string): string | undefined {
  for (const source of [expressionSource(text), `"use strict";((r)=>[\n${text}\n])`]) {
    try {
      new Script(source, { filename: "rule", lineOffset: -1 });
    } catch (error) {
      return describe(error, text);
    }
  }
  return undefined;
}

/** V8 puts `rule:LINE`, the line and a caret under the place before the message. */
function describe(error: unknown, text: string): string {
  const { message, stack = "" } = error as Error;
  const [, line, caret] = /^rule:(\d+)\n.*\n( *)\^/.exec(stack) ?? [];
  const lines = text.split("\n");
  if (line === undefined || caret === undefined || Number(line) > lines.length) return `${message} (at its end)`;
  return `${message} (${lines.length > 1 ? `line ${line}, ` : ""}column ${caret.length + 1})`;
}
