/** Rules in JavaScript, through the real process: verdicts, messages, time, and what they cannot do. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { hasDotSegments } from "../../../src/egress/hooks/dot-segments.ts";
import { isPlainExpression } from "../../../src/egress/hooks/host/plain-expression.ts";
import { ExpressionSet } from "../../../src/egress/hooks/host/expression-set.ts";
import type { RequestTarget } from "../../../src/policy/spec.ts";
import { NEVER, openHooks, rule } from "./hook-module.ts";

const TARGET: RequestTarget = {
  method: "GET",
  scheme: "https",
  host: "api.example.com",
  port: 8443,
  target: "/v1/things%20x?page=2&tag=a&tag=b&__proto__=x",
};

function evaluate(text: string, changes: Partial<RequestTarget> = {}) {
  return new ExpressionSet([text], 250).evaluate([{ ...TARGET, ...changes }])[0];
}

const ALLOWED = { allowed: 0, message: null };
const DENIED = { allowed: -1, message: null };

for (const [text, expected] of [
  ["true", ALLOWED],
  ["false", DENIED],
  ["r.method === 'GET'", ALLOWED],
  ["r.method === 'POST'", DENIED],
  ["r.host.endsWith('.example.com')", ALLOWED],
  ["r.scheme === 'https' && r.port === 8443", ALLOWED],
  ["r.path === '/v1/things%20x'", ALLOWED],
  ["r.url === 'https://api.example.com:8443/v1/things%20x?page=2&tag=a&tag=b&__proto__=x'", ALLOWED],
  ["r.query.page === '2'", ALLOWED],
  ["r.query.tag.includes('b') && r.query.tag.length === 2", ALLOWED],
  ["r.query.missing === undefined && r.query.__proto__ === 'x'", ALLOWED],
  ["'page' in r.query", ALLOWED],
  ["['GET', 'HEAD'].includes(r.method) // a comment", ALLOWED],
  ["/^api\\./.test(r.host)", ALLOWED],
  ["{ allow: true }", ALLOWED],
  ["({ allow: true, message: 'unused' })", ALLOWED],
  ["({ allow: r.port === 443, message: `not on ${r.port}` })", { allowed: -1, message: "not on 8443" }],
  ["({ allow: 1 })", { allowed: -1, message: "rule 1 gave a value of type object, neither true nor false" }],
  ["r.host.match(/example/)", { allowed: -1, message: "rule 1 gave an array, neither true nor false" }],
  ["1", { allowed: -1, message: "rule 1 gave a value of type number, neither true nor false" }],
  ["'true'", { allowed: -1, message: "rule 1 gave a value of type string, neither true nor false" }],
  ["null", { allowed: -1, message: "rule 1 gave null, neither true nor false" }],
  ["undefined", { allowed: -1, message: "rule 1 gave a value of type undefined, neither true nor false" }],
  ["(async () => true)()", { allowed: -1, message: "rule 1 gave a value of type object, neither true nor false" }],
  ["new Boolean(true)", { allowed: -1, message: "rule 1 gave a value of type object, neither true nor false" }],
  [
    "r.metod !== 'POST'",
    {
      allowed: -1,
      message: "rule 1 failed: TypeError: r has no metod; it has method, scheme, host, port, path, url, query",
    },
  ],
  ["r.host.nope()", { allowed: -1, message: "rule 1 failed: TypeError: r.host.nope is not a function" }],
  ["host === 'x'", { allowed: -1, message: "rule 1 failed: ReferenceError: host is not defined" }],
  ["process.exit(1)", { allowed: -1, message: "rule 1 failed: ReferenceError: process is not defined" }],
  ["require('fs')", { allowed: -1, message: "rule 1 failed: ReferenceError: require is not defined" }],
  [
    "typeof process + typeof require + typeof console + typeof setTimeout + typeof fetch === 'undefined'.repeat(5)",
    ALLOWED,
  ],
  ["(r.host = 'x')", { allowed: -1, message: /^rule 1 failed: TypeError: / }],
  ["(r.query.page = 'x')", { allowed: -1, message: /^rule 1 failed: TypeError: / }],
  ["(seen = r.host)", { allowed: -1, message: "rule 1 failed: ReferenceError: seen is not defined" }],
  ["(globalThis.seen = r.host)", { allowed: -1, message: /^rule 1 failed: TypeError: / }],
  ["(Array.prototype.seen = r.host)", { allowed: -1, message: /^rule 1 failed: TypeError: / }],
  ["(Math.seen = r.host)", { allowed: -1, message: /^rule 1 failed: TypeError: / }],
  ["eval('true')", { allowed: -1, message: /^rule 1 failed: EvalError: / }],
  [
    "r.constructor.constructor('return process')()",
    { allowed: -1, message: /^rule 1 failed: TypeError: r has no constructor/ },
  ],
  ["r.query.page.constructor.constructor('return 1')()", { allowed: -1, message: /^rule 1 failed: EvalError: / }],
  ["(() => { throw 'text' })()", { allowed: -1, message: "rule 1 failed: text" }],
  ["(() => { for (;;); })()", { allowed: -1, message: "rule 1 took longer than 250 ms" }],
  ["/^(\\w+\\s?)+$/.test('a'.repeat(50) + '!')", { allowed: -1, message: "rule 1 took longer than 250 ms" }],
  ["({ get allow() { for (;;); } })", { allowed: -1, message: "rule 1 took longer than 250 ms" }],
] as const) {
  test(`the rule ${text}`, () => {
    const result = evaluate(text);
    const { message } = expected;
    if (message instanceof RegExp) assert.match(result?.message ?? "", message);
    else assert.deepEqual(result, expected);
  });
}

test("of several rules the first that allows counts; a denial has the first message", () => {
  const rules = new ExpressionSet(
    ["r.host === 'a'", "({ allow: r.host === 'b', message: 'only b' })", "nope", "r.port === 1"],
    250,
  );
  const results = rules.evaluate([{ ...TARGET, host: "a" }, { ...TARGET, host: "b" }, { ...TARGET, port: 1 }, TARGET]);
  assert.deepEqual(results, [
    { allowed: 0, message: null },
    { allowed: 1, message: null },
    { allowed: 3, message: null },
    { allowed: -1, message: "only b" },
  ]);
});

test("a rule that takes too long costs itself, not the rules and requests beside it", () => {
  const rules = new ExpressionSet(["(() => { while (r.host === 'slow'); return false; })()", "r.port === 8443"], 100);
  const hosts = ["a", "slow", "b"].map((host) => ({ ...TARGET, host }));
  assert.deepEqual(
    rules.evaluate(hosts),
    [1, 1, 1].map((allowed) => ({ allowed, message: null })),
  );
});

for (const [text, plain] of [
  ["r.method === 'GET' && r.host.endsWith('.example.com')", true],
  ["['GET', 'HEAD'].includes(r.method) && !r.path.startsWith('/admin')", true],
  ["r.query.page !== undefined || r.port < 1024", true],
  ["({ allow: r.port === 443, message: 'a/b' + \"c\" })", true],
  ["/x/.test(r.host)", false],
  ["r.host.match('x')", false],
  ["r.query.x.match('(a+)+')", false],
  ["r.host.repeat(9)", false],
  ["(() => true)()", false],
  ["`${r.host}`", false],
  ["1e9", false],
] as const) {
  test(`a rule ${plain ? "needs no" : "needs a"} time limit: ${text}`, () => {
    assert.equal(isPlainExpression(text), plain);
  });
}

for (const [target, found] of [
  ["/", false],
  ["/a/../b", true],
  ["/a/.", true],
  ["/a/%2e%2E/b", true],
  ["/a/.%2e/b", true],
  ["/a%2f..%2fb", true],
  ["/a\\..\\b", true],
  ["/a%5C..", true],
  ["/a/%252e%252e/b", true],
  ["/a/%25252e./b", true],
  ["/a/..;/b", true],
  ["/a/..;x=1/b", true],
  ["/a/..%3b/b", true],
  ["/a/..%253Bx/b", true],
  ["/a/%2e%2e;/b", true],
  ["/a/.;/b", true],
  ["/a/..%00/b", true],
  ["/a/..%20/b", true],
  ["/a/..%09%0d%0a/b", true],
  ["/a/..%23/b", true],
  ["/a/..#/b", true],
  ["/a/%u002e%u002E/b", true],
  ["/a/..%u002fb", true],
  ["/a/%uff0e%uff0e/b", true],
  ["/a/%c0%ae%c0%ae/b", true],
  ["/a/..%c0%afb", true],
  ["/a/..%c1%9cb", true],
  ["/a/%e0%80%ae./b", true],
  ["/..;", true],
  ["/.../a", false],
  ["/.well-known/x", false],
  ["/@scope%2fname", false],
  ["/a?x=/../b", false],
  ["/a?x=..%2f..%5c%2e%2e;", false],
  ["/a..;v=1/b", false],
  ["/a;v=1.2/b..", false],
  ["/..a/b", false],
  ["/%c3%a9/caf%e9/%", false],
  ["/v1/a%20b/%E2%82%AC", false],
] as const) {
  test(`${target} ${found ? "has" : "has no"} segments that servers may resolve`, () => {
    assert.equal(hasDotSegments(target), found);
  });
}

const opened = await openHooks(null, {
  expressions: [rule("r.host === 'one.example'", "e1"), rule("({ allow: false, message: 'ask for it' })", "e2")],
});
after(() => opened[Symbol.asyncDispose]());

test("a request is allowed by the expression that says so", async () => {
  const outcome = await opened.hooks.evaluate({ ...TARGET, host: "one.example" }, NEVER);
  assert.deepEqual(outcome, { verdict: "allow", expression: rule("r.host === 'one.example'", "e1"), message: null });
  assert.deepEqual(await opened.hooks.evaluate(TARGET, NEVER), {
    verdict: "deny",
    expression: null,
    message: "ask for it",
  });
});

test("a path that nobody can judge is denied, with the reason", async () => {
  const outcome = await opened.hooks.evaluate({ ...TARGET, host: "one.example", target: "/a/..%2f" }, NEVER);
  assert.equal(outcome.verdict, "deny");
  assert.match(outcome.message ?? "", /has \. or \.\. segments/);
});

for (const target of [
  "/a%2fb",
  "/a%2Fb",
  "/a%252fb",
  "/a%5cb",
  "/a\\b",
  "/a;v=1/b",
  "/a%3bv=1/b",
  "/a%3fb",
  "/a%23b",
  "/a#b",
  "/a%00",
  "/a%0ab",
  "/a%7f",
  "//a",
  "/a//b",
  "/a%u002fb",
  "/a%c0%afb",
]) {
  test(`a rule that looks at the path does not allow ${target}, and one that does not may`, () => {
    for (const text of ["r.path.length > 0", "r.url.length > 0", "!r.path.startsWith('/admin')"]) {
      const result = evaluate(text, { target });
      assert.equal(result?.allowed, -1, text);
      assert.match(result.message ?? "", /^rule 1 failed: .*servers read its path in several ways/);
    }
    assert.deepEqual(evaluate("r.host === 'api.example.com' && r.query.x === undefined", { target }), ALLOWED);
    assert.deepEqual(evaluate("r.host === 'api.example.com' || r.path === '/'", { target }), ALLOWED);
  });
}

for (const [target, path] of [
  ["/", "/"],
  ["*", "/"],
  ["/a/", "/a/"],
  ["/a?next=%2Fb%5c;//c", "/a"],
  ["/%61dmin/%41", "/admin/A"],
  ["/%7Euser/%2D", "/~user/-"],
  ["/things%20x/%E2%82%AC/%25", "/things%20x/%E2%82%AC/%25"],
  ["/caf%e9", "/caf%e9"],
  ["/a:b@c,d=e&f+g!$'()*", "/a:b@c,d=e&f+g!$'()*"],
] as const) {
  test(`a rule sees ${target} as the path ${path}: what needs no encoding has none`, () => {
    assert.deepEqual(evaluate(`r.path === ${JSON.stringify(path)}`, { target }), ALLOWED);
    const query = target.includes("?") ? target.slice(target.indexOf("?")) : "";
    const url = `https://api.example.com:8443${path}${query}`;
    assert.deepEqual(evaluate(`r.url === ${JSON.stringify(url)}`, { target }), ALLOWED);
  });
}

test("a failure is a denial: given up, or without a process", async () => {
  const gone = AbortSignal.abort(new Error("given up"));
  assert.deepEqual(await opened.hooks.evaluate(TARGET, gone), {
    verdict: "deny",
    expression: null,
    message: "given up",
  });
  const closed = await openHooks(null, { expressions: [rule("true")] });
  await closed[Symbol.asyncDispose]();
  assert.equal((await closed.hooks.evaluate(TARGET, NEVER)).verdict, "deny");
});

test("thousands of requests at once each get their own verdict", async () => {
  const hosts = Array.from({ length: 3000 }, (_, index) => (index % 3 === 0 ? "one.example" : `h${index}.example`));
  const outcomes = await Promise.all(hosts.map((host) => opened.hooks.evaluate({ ...TARGET, host }, NEVER)));
  assert.deepEqual(
    outcomes.map(({ verdict }) => verdict === "allow"),
    hosts.map((host) => host === "one.example"),
  );
});

test("a rule that does not parse stops the start", async () => {
  await assert.rejects(openHooks(null, { expressions: [rule("r.host ==")] }), { code: "usage", exitCode: 2 });
});
