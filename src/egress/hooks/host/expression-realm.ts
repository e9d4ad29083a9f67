/** The part of the evaluation of rules that runs in their own realm (expression-set.ts), and what the host sees of it. */

/** Longest message that a rule may give. */
const MAX_MESSAGE_CHARS = 500;

export interface Realm {
  rules: ((request: unknown) => unknown)[];
  /** Index of the rule that is being evaluated. */
  readonly rule: number;
  readonly finished: boolean;
  readonly results: readonly { allowed: number; message: string | null }[];
  begin(targets: string): void;
  /** Evaluates what is left. */
  run(): void;
  /** Goes on with the next rule; the current one has denied. */
  skip(message: string): void;
}

/**
 * An expression whose value is a {@link Realm}.
 *
 * A name that `r` does not have is an error: `r.metod !== "POST"` would be true for every request. So is any value but
 * true, false and `{ allow, message }`: a promise or a match of a regular expression is no decision. And so is a look at
 * a path that is `unclear`: what the rule says of it would not be true of what some server makes of it.
 */
export const REALM_SOURCE = `(() => {
  "use strict";
  delete globalThis.console;
  const freezeAll = (value, seen) => {
    if ((typeof value !== "object" && typeof value !== "function") || value === null || seen.has(value)) return;
    seen.add(value);
    for (const key of Reflect.ownKeys(value)) {
      const property = Object.getOwnPropertyDescriptor(value, key);
      for (const part of [property.value, property.get, property.set]) freezeAll(part, seen);
    }
    freezeAll(Object.getPrototypeOf(value), seen);
    Object.freeze(value);
  };
  freezeAll(globalThis, new Set());

  const getProperty = (request, name) => {
    if (typeof name !== "string" || Object.hasOwn(request, name)) return request[name];
    throw new TypeError("r has no " + name + "; it has " + Object.keys(request).join(", "));
  };
  const clearHandler = Object.freeze({ get: getProperty });
  const refuse = (name) => {
    throw new Error("r." + name + " is not to be relied on, since servers read its path in several ways");
  };
  const unclearHandler = Object.freeze({
    get: (request, name) => (name === "path" || name === "url" ? refuse(name) : getProperty(request, name)),
    getOwnPropertyDescriptor(request, name) {
      if (name === "path" || name === "url") refuse(name);
      return Reflect.getOwnPropertyDescriptor(request, name);
    },
  });
  const makeRequest = ({ query, unclear, ...target }) => {
    const values = Object.create(null);
    for (const [name, value] of query) values[name] = Object.freeze(value);
    const request = Object.freeze({ __proto__: null, ...target, query: Object.freeze(values) });
    return new Proxy(request, unclear ? unclearHandler : clearHandler);
  };
  const cut = (text) => String(text).slice(0, ${MAX_MESSAGE_CHARS});
  const judge = (value, number) => {
    if (typeof value === "boolean") return { allow: value, message: null };
    const kind = value === null ? "null" : Array.isArray(value) ? "an array" : "a value of type " + typeof value;
    if (typeof value === "object" && value !== null && typeof value.allow === "boolean") {
      return { allow: value.allow, message: value.message === undefined ? null : cut(value.message) };
    }
    return { allow: false, message: "rule " + number + " gave " + kind + ", neither true nor false" };
  };
  const describe = (error, number) => {
    const text = error instanceof Error ? error.name + ": " + error.message : String(error);
    return cut("rule " + number + " failed: " + text);
  };

  let targets = [];
  return {
    rules: [],
    rule: 0,
    finished: true,
    results: [],
    begin(text) {
      targets = JSON.parse(text);
      this.results = [];
      this.rule = 0;
      this.finished = targets.length === 0;
    },
    skip(message) {
      this.note(message);
      this.rule += 1;
    },
    note(message) {
      const result = this.results[this.results.length - 1];
      result.message ??= message;
    },
    run() {
      while (targets.length > 0) {
        if (this.rule === 0) this.results.push({ allowed: -1, message: null });
        const request = makeRequest(targets[0]);
        while (this.rule < this.rules.length && !this.allowedBy(this.rule, request)) this.rule += 1;
        if (this.rule < this.rules.length) {
          this.results[this.results.length - 1] = { allowed: this.rule, message: null };
        }
        targets.shift();
        this.rule = 0;
      }
      this.finished = true;
    },
    allowedBy(index, request) {
      try {
        const { allow, message } = judge((0, this.rules[index])(request), index + 1);
        if (!allow && message !== null) this.note(message);
        return allow;
      } catch (error) {
        this.note(describe(error, index + 1));
        return false;
      }
    },
  };
})()`;
