/**
 * JavaScript that runs inside a Deno REPL of the guest, beside the user's code: it turns the last result or error into
 * JSON. It keeps what it needs in a closure, as user code may replace any global, and depends on `_` and `_error` only
 * by the getters that the REPL itself installed.
 */

/** Where the functions live; enumerable to nobody, writable by nobody. */
const HOME = `globalThis[Symbol.for("sbx.repl")]`;

/** Runs first. An exception in a timer would end the REPL's loop: it is reported like one in the interactive REPL. */
export const INSTALL = `(() => {
  const { getOwnPropertyDescriptor, defineProperty, freeze } = Object;
  const { stringify, parse } = JSON;
  const { isArray } = Array;
  const { inspect } = Deno;
  const { Error, AggregateError, Promise, String } = globalThis;
  const lastResult = getOwnPropertyDescriptor(globalThis, "_").get;
  const lastError = getOwnPropertyDescriptor(globalThis, "_error").get;
  const report = console.error.bind(console);
  globalThis.addEventListener("error", (event) => {
    event.preventDefault();
    report("Uncaught", event.error);
  });
  const text = (value) => {
    try { return String(value); } catch { return "[unprintable]"; }
  };
  const field = (value, name) => {
    try { return value[name]; } catch { return undefined; }
  };
  const describe = (thrown, depth) => {
    if (!(thrown instanceof Error)) {
      let message;
      try { message = typeof thrown === "string" ? thrown : inspect(thrown); } catch { message = text(thrown); }
      return { constructorName: "Error", message };
    }
    const described = {
      constructorName: text(field(field(thrown, "constructor") ?? {}, "name") || field(thrown, "name") || "Error"),
      message: text(field(thrown, "message")),
      name: text(field(thrown, "name")),
    };
    const stack = field(thrown, "stack");
    if (typeof stack === "string") described.stack = stack;
    const code = field(thrown, "code");
    if (typeof code === "string") described.code = code;
    const cause = field(thrown, "cause");
    if (cause !== undefined && depth < 4) described.cause = describe(cause, depth + 1);
    const errors = field(thrown, "errors");
    if (thrown instanceof AggregateError && isArray(errors) && depth < 4) {
      described.errors = errors.slice(0, 16).map((error) => describe(error, depth + 1));
    }
    return described;
  };
  const home = {
    last: undefined,
    parse,
    async result() {
      home.last = lastResult();
      try {
        const value = home.last instanceof Promise ? await home.last : home.last;
        return '{"ok":' + (stringify(value) ?? "null") + "}";
      } catch (error) {
        return stringify({ error: describe(error, 0) });
      }
    },
    thrown: () => stringify({ error: describe(lastError(), 0) }),
  };
  defineProperty(globalThis, Symbol.for("sbx.repl"), { value: home });
})()`;

/** Its value is the JSON of `{ok}` or `{error}` for the last evaluation that ended. */
export const READ_RESULT = `await ${HOME}.result()`;
/** The same for the last evaluation that threw. */
export const READ_THROWN = `${HOME}.thrown()`;
/** Makes `_` what it was before READ_RESULT. */
export const RESTORE_LAST = `${HOME}.last`;

/** Whether code may look at `_`. */
export function mentionsLast(code: string): boolean {
  return /(?<![\w$])_(?![\w$])/.test(code);
}

/** An expression that calls a function, given by name or source, with arguments that are JSON. */
export function callExpression(fn: string, args: readonly unknown[]): string {
  // Parsed in the guest: as source text, `__proto__` in an argument would mean something else.
  return `await (${fn}\n)(...${HOME}.parse(${JSON.stringify(JSON.stringify(args))}))`;
}
