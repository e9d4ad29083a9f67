/**
 * Rules in JavaScript, compiled once into a realm of their own: no process, no require, no timers, nothing that can be
 * changed. The user wrote them, so this is no cage for an attacker; it keeps a slip of the pen from doing harm. What they
 * see of a request comes from a guest.
 */
import { randomUUID } from "node:crypto";
import { constants, createContext, Script, type Context } from "node:vm";
import { expressionSource } from "../../../policy/expression.ts";
import type { RequestTarget } from "../../../policy/spec.ts";
import type { EvaluateResult } from "../hook-messages.ts";
import { hasUnclearSegments } from "../dot-segments.ts";
import { isPlainExpression } from "./plain-expression.ts";
import { urlOf } from "./presented.ts";
import { REALM_SOURCE, type Realm } from "./expression-realm.ts";

export class ExpressionSet {
  readonly #timeLimitMs: number;
  /** Whether any rule could run on and on. */
  readonly #limited: boolean;
  readonly #context: Context;
  readonly #realm: Realm;
  readonly #run: Script;

  /** @throws SyntaxError */
  constructor(expressions: readonly string[], timeLimitMs: number) {
    this.#timeLimitMs = timeLimitMs;
    this.#limited = !expressions.every(isPlainExpression);
    this.#context = createContext(constants.DONT_CONTEXTIFY, {
      codeGeneration: { strings: false, wasm: false },
      // Callbacks of promises run within the time limit too.
      microtaskMode: "afterEvaluate",
    });
    // Rules run as scripts of this realm and see its names: this one cannot be hit by accident.
    const name = `$${randomUUID().replaceAll("-", "")}`;
    const setup = new Script(`const ${name} = ${REALM_SOURCE}; ${name}`);
    this.#realm = setup.runInContext(this.#context) as Realm;
    for (const [index, text] of expressions.entries()) {
      const rule = new Script(expressionSource(text), { filename: `rule-${index + 1}`, lineOffset: -1 });
      this.#realm.rules.push(rule.runInContext(this.#context) as Realm["rules"][number]);
    }
    this.#run = new Script(`${name}.run()`);
  }

  /** All of them at once, since a time limit costs a thread. */
  evaluate(targets: readonly RequestTarget[]): EvaluateResult[] {
    const realm = this.#realm;
    realm.begin(JSON.stringify(targets.map(describeTarget)));
    if (!this.#limited) realm.run();
    while (!realm.finished) {
      try {
        this.#run.runInContext(this.#context, { timeout: this.#timeLimitMs });
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "ERR_SCRIPT_EXECUTION_TIMEOUT") throw error;
        realm.skip(`rule ${realm.rule + 1} took longer than ${this.#timeLimitMs} ms`);
      }
    }
    return [...realm.results].map(({ allowed, message }) => ({ allowed, message }));
  }
}

/** What a rule sees as `r`, and whether its path is `unclear`. */
function describeTarget(target: RequestTarget): Record<string, unknown> {
  const url = new URL(urlOf(target));
  const query: [string, string | string[]][] = [...new Set(url.searchParams.keys())].map((name) => {
    const values = url.searchParams.getAll(name);
    return [name, values.length === 1 ? (values[0] ?? "") : values];
  });
  const path = decodeUnreserved(url.pathname);
  return {
    method: target.method,
    scheme: target.scheme,
    host: target.host,
    port: target.port,
    path,
    url: `${url.origin}${path}${url.search}`,
    query,
    unclear: hasUnclearSegments(target.target),
  };
}

/** RFC 3986, 6.2.2.2: `/%61dmin` is `/admin` to every server. */
function decodeUnreserved(path: string): string {
  return path.replace(/%[2-7][0-9a-f]/gi, (code) => {
    const character = String.fromCharCode(Number.parseInt(code.slice(1), 16));
    return /[0-9A-Za-z\-._~]/.test(character) ? character : code;
  });
}
