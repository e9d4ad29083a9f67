/** onRequest through the real hook process: what is forwarded, what is answered, and that the rest stays as it came. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import type { FieldLines, RequestHead } from "../../../src/egress/http-heads.ts";
import { HookError } from "../../../src/egress/hooks/hooks.ts";
import { bodyOf, NEVER, openHooks, requestHead, textOf } from "./hook-module.ts";

/** Does what the request's path names. */
const SOURCE = `
import type { HookContext, OnRequest } from "sbx/hooks";
import { upper } from "./upper.ts";

const actions: Record<string, (request: Request, context: HookContext) => unknown> = {
  nothing: () => undefined,
  itself: (request) => request,
  copy: (request) => new Request(request),
  clone: (request) => request.clone(),
  header: (request) => {
    const headers = new Headers(request.headers);
    headers.set("x-second", "changed");
    headers.delete("x-first");
    headers.append("x-added", "one");
    return new Request(request, { headers });
  },
  framing: (request) => {
    const headers = new Headers(request.headers);
    for (const name of ["host", "connection", "transfer-encoding", "content-length", "upgrade"]) headers.set(name, "5");
    return new Request(request, { headers });
  },
  inPlace: (request) => request.headers.set("x-a", "b"),
  method: (request) => new Request(request, { method: "PUT" }),
  toGet: (request) => new Request(request.url, { headers: request.headers }),
  url: (request) => new Request("http://other.example.com:8080/changed?q=1#fragment", request),
  ftp: (request) => new Request("ftp://other.example.com/", request),
  body: (request) => new Request(request, { body: "replaced" }),
  bytes: async (request) => new Request(request, { body: (await request.bytes()).reverse() }),
  used: async (request) => { await request.text(); return new Request(request.url, { method: "POST", body: request.body, duplex: "half" }); },
  json: () => Response.json({ denied: true }, { status: 403, headers: { "x-why": "policy" } }),
  empty: () => new Response(null, { status: 204 }),
  cookies: () => new Response("", { headers: [["set-cookie", "a=1"], ["set-cookie", "b=2"]] }),
  networkError: () => Response.error(),
  text: () => "a string",
  nothingButNull: () => null,
  fail: () => { throw new TypeError("on purpose"); },
  failOddly: () => Promise.reject({ odd: true }),
  context: (request, { sandbox, flow, signal }) => Response.json({ sandbox, flow, aborted: signal.aborted }),
  see: (request) => Response.json({ method: request.method, url: request.url, headers: [...request.headers] }),
  environment: () => Response.json({ names: Object.keys(process.env), argv: process.argv.length }),
  imported: () => new Response(upper("imported")),
};

export const onRequest: OnRequest = async (request, context) => {
  const name = new URL(request.url).searchParams.get("do") ?? "nothing";
  return (await actions[name](request, context)) as Response;
};
`;
const opened = await openHooks(
  SOURCE,
  {},
  { "upper.ts": "export const upper = (text: string) => text.toUpperCase();" },
);
after(() => opened[Symbol.asyncDispose]());

const FIELDS: FieldLines = [
  ["X-First", "1"],
  ["Content-Length", "11"],
  ["X-Second", "a"],
  ["Accept", "*/*"],
  ["x-second", "b"],
  ["Cookie", "a=1"],
  ["cookie", "b=2"],
  ["X-Latin", "caf\xe9"],
];

function ask(action: string, changes: Partial<RequestHead> = {}, body = bodyOf("hello ", "world")) {
  const head = requestHead({ target: `/path?do=${action}`, fields: FIELDS, ...changes });
  return { head, body, outcome: opened.hooks.onRequest(head, body, NEVER, 7) };
}

for (const action of ["nothing", "itself"]) {
  test(`a hook that returns ${action} leaves head and stream as they are`, async () => {
    const { head, body, outcome } = ask(action);
    const { kind, head: sent, body: stream } = await outcome;
    assert.equal(kind, "forward");
    assert.deepEqual(sent, head);
    assert.equal(stream, body);
    assert.equal(body.readableDidRead, false);
  });
}

for (const [action, fields] of [
  ["copy", FIELDS],
  [
    "header",
    [
      ["Content-Length", "11"],
      ["X-Second", "changed"],
      ...FIELDS.slice(3).filter(([name]) => name !== "x-second"),
      ["x-added", "one"],
    ],
  ],
  ["framing", FIELDS],
] as const) {
  test(`a new Request with another head (${action}) keeps every other line, and the body does not enter the process`, async () => {
    const { head, body, outcome } = ask(action);
    const { kind, ...rest } = await outcome;
    assert.equal(kind, "forward");
    assert.deepEqual(rest, { head: { ...head, fields }, body, bodyReplaced: false });
    assert.equal(body.readableDidRead, false);
  });
}

test("a clone is a body that went through the process, and arrives whole", async () => {
  const { head, outcome } = ask("clone");
  const { body, ...rest } = await outcome;
  const fields = FIELDS.filter(([name]) => name !== "Content-Length");
  assert.deepEqual(rest, { kind: "forward", head: { ...head, fields }, bodyReplaced: true });
  assert.equal(await textOf(body), "hello world");
});

test("another method goes out with the body as it came", async () => {
  const { head, body, outcome } = ask("method");
  assert.deepEqual(await outcome, { kind: "forward", head: { ...head, method: "PUT" }, body, bodyReplaced: false });
});

test("a Request without a body goes out without one and without a length", async () => {
  const { head, outcome } = ask("toGet");
  const fields = FIELDS.filter(([name]) => name !== "Content-Length");
  assert.deepEqual(await outcome, {
    kind: "forward",
    head: { ...head, method: "GET", fields },
    body: null,
    bodyReplaced: true,
  });
});

test("another URL becomes scheme, host, port and target; what is behind # is dropped", async () => {
  const { head, body, outcome } = ask("url");
  const place = { scheme: "http", host: "other.example.com", port: 8080, target: "/changed?q=1" };
  assert.deepEqual(await outcome, { kind: "forward", head: { ...head, ...place }, body, bodyReplaced: false });
});

for (const [action, expected] of [
  ["body", "replaced"],
  ["bytes", "dlrow olleh"],
] as const) {
  test(`a replaced body (${action}) arrives with its own length`, async () => {
    const { outcome } = ask(action);
    const { head, body } = await outcome;
    assert.equal(await textOf(body), expected);
    const lengths = head.fields.filter(([name]) => name.toLowerCase() === "content-length");
    assert.deepEqual(lengths, [["content-length", String(expected.length)]]);
  });
}

test("a Response is the answer, with its status, its fields and its length", async () => {
  const outcome = await ask("json").outcome;
  assert.deepEqual(outcome.head, {
    status: 403,
    fields: [
      ["content-type", "application/json"],
      ["x-why", "policy"],
      ["content-length", "15"],
    ],
  });
  assert.equal(outcome.kind, "respond");
  assert.equal(await textOf(outcome.body), '{"denied":true}');
});

test("a Response without a body has none, and its cookies stay apart", async () => {
  assert.deepEqual(await ask("empty").outcome, { kind: "respond", head: { status: 204, fields: [] }, body: null });
  const { head } = await ask("cookies").outcome;
  assert.deepEqual(
    head.fields.filter(([name]) => name === "set-cookie").map(([, value]) => value),
    ["a=1", "b=2"],
  );
});

test("the answer to HEAD has no body", async () => {
  const { body } = await opened.hooks.onRequest(requestHead({ method: "HEAD", target: "/?do=json" }), null, NEVER);
  assert.equal(body, null);
});

for (const [action, message] of [
  [
    "text",
    "onRequest of policy.ts failed: Error: onRequest returned string; it has to return nothing, a Request or a Response",
  ],
  [
    "nothingButNull",
    "onRequest of policy.ts failed: Error: onRequest returned null; it has to return nothing, a Request or a Response",
  ],
  ["networkError", "onRequest of policy.ts failed: Error: the returned Response is a network error"],
  ["failOddly", 'onRequest of policy.ts failed: threw {"odd":true}'],
  ["ftp", 'the hook returned a Request for "ftp:", which is neither http nor https'],
] as const) {
  test(`what cannot be sent is refused, with the reason: ${action}`, async () => {
    await assert.rejects(
      ask(action).outcome,
      (error: Error) => error instanceof HookError && error.message === message,
    );
  });
}

test("an exception says what and where", async () => {
  const line = SOURCE.split("\n").findIndex((text) => text.includes("on purpose")) + 1;
  await assert.rejects(ask("fail").outcome, {
    name: "HookError",
    message: `onRequest of policy.ts failed: TypeError: on purpose (policy.ts:${line})`,
  });
});

test("headers that nobody would see changed cannot be changed", async () => {
  await assert.rejects(ask("inPlace").outcome, /TypeError: these headers cannot be changed; return new Request/);
});

test("relative imports of a module are found beside it", async () => {
  assert.equal(await textOf((await ask("imported").outcome).body), "IMPORTED");
});

test("a body that was read cannot be returned", async () => {
  await assert.rejects(ask("used").outcome, HookError);
});

test("the context has the sandbox, the flow and a signal", async () => {
  const { body } = await ask("context").outcome;
  assert.equal(await textOf(body), '{"sandbox":{"id":"sbx_1","name":"box"},"flow":7,"aborted":false}');
});

for (const [method, body] of [
  ["GET", bodyOf("a query")],
  ["get", null],
  ["TRACE", null],
  ["patch", bodyOf("x")],
  ["PROPFIND", bodyOf("x")],
] as const) {
  test(`${method} ${body === null ? "without" : "with"} a body is seen as sent, and forwarded as sent`, async () => {
    const head = requestHead({ method, target: "/?do=see" });
    const seen = JSON.parse((await textOf((await opened.hooks.onRequest(head, body, NEVER)).body)) ?? "") as {
      method: string;
    };
    assert.equal(seen.method, method);
    for (const action of ["nothing", "copy"]) {
      const passed = requestHead({ method, target: `/?do=${action}` });
      const outcome = await opened.hooks.onRequest(passed, body, NEVER);
      assert.deepEqual(outcome.head, passed);
      assert.equal(outcome.body, body);
    }
  });
}

for (const [name, head, url] of [
  ["a port of its own", { port: 8443, target: "/a?b=c" }, "https://api.example.com:8443/a?b=c"],
  ["IPv6", { host: "2001:db8::1", scheme: "http", port: 80, target: "/" }, "http://[2001:db8::1]/"],
  ["what would be a fragment", { target: "/a#b" }, "https://api.example.com/a%23b"],
  ["a target that begins with two slashes", { target: "//evil.example/x" }, "https://api.example.com//evil.example/x"],
  ["OPTIONS *", { method: "OPTIONS", target: "*" }, "https://api.example.com/"],
] as const) {
  test(`the URL that a hook sees: ${name}`, async () => {
    await using urls = await openHooks("export const onRequest = (request) => new Response(request.url)");
    assert.equal(await textOf((await urls.hooks.onRequest(requestHead(head), null, NEVER)).body), url);
  });
}

for (const [target, sent] of [
  ["/a/../b?do=nothing", "/b?do=nothing"],
  ["/a/%2E%2e/b?do=copy", "/b?do=copy"],
  ["/a\\..\\b?do=nothing", "/b?do=nothing"],
  ["/a%2f.b%2f?do=nothing", "/a%2f.b%2f?do=nothing"],
  ['/a b{}|"?do=nothing', '/a b{}|"?do=nothing'],
  ["/a?do=nothing&x=/../y", "/a?do=nothing&x=/../y"],
] as const) {
  test(`what a hook decided about is what is sent: ${target}`, async () => {
    const { head } = await opened.hooks.onRequest(requestHead({ target }), null, NEVER);
    assert.equal((head as RequestHead).target, sent);
  });
}

test("hooks have nothing of the environment but what a program needs", async () => {
  process.env.SBX_TEST_SECRET = "do not pass on";
  await using fresh = await openHooks("export const onRequest = () => Response.json(Object.keys(process.env))");
  delete process.env.SBX_TEST_SECRET;
  const names = JSON.parse(
    (await textOf((await fresh.hooks.onRequest(requestHead(), null, NEVER)).body)) ?? "",
  ) as string[];
  assert.deepEqual(
    names.filter((name) => !["PATH", "LANG", "TZ", "TMPDIR"].includes(name)),
    [],
  );
});

test("a request that was given up rejects with the signal's reason, and the hook's signal fires", async () => {
  await using waiting = await openHooks(`
    export const onRequest = (request, { signal, log }) =>
      new Promise((resolve) => signal.addEventListener("abort", () => { log("given up"); resolve(); }));
  `);
  const controller = new AbortController();
  const outcome = waiting.hooks.onRequest(requestHead(), null, controller.signal, 3);
  setTimeout(() => controller.abort(new Error("the guest has gone")), 50);
  await assert.rejects(outcome, /^Error: the guest has gone$/);
  while (!waiting.lines.includes("flow 3: given up")) await new Promise((resolve) => setTimeout(resolve, 5));
});

test("many requests at once are not mixed up", async () => {
  const seen = await Promise.all(
    Array.from({ length: 200 }, async (_, index) => {
      const head = requestHead({ target: `/${index}?do=${index % 2 === 0 ? "see" : "bytes"}` });
      const outcome = await opened.hooks.onRequest(head, bodyOf(`${index}`), NEVER);
      const text = (await textOf(outcome.body)) ?? "";
      return index % 2 === 0 ? (JSON.parse(text) as { url: string }).url : Buffer.from(text).reverse().toString();
    }),
  );
  assert.deepEqual(
    seen,
    seen.map((_, i) => (i % 2 === 0 ? `https://api.example.com/${i}?do=see` : `${i}`)),
  );
});

for (const target of ["/public/..;/admin", "/a/%2e%2e%3bx/b", "/a/..%2fb", "/a/%u002e%u002e/b", "/a/..%00/b"]) {
  test(`a hook is not asked about ${target}, which it would see otherwise than some servers`, async () => {
    const { outcome } = ask("nothing", { target: `${target}?do=nothing` });
    await assert.rejects(outcome, (error: unknown) => {
      assert.ok(error instanceof HookError);
      assert.match(error.message, /segments/);
      return true;
    });
  });
}

test("a hook is asked about parameters, encodings and dots in a query", async () => {
  for (const target of ["/@scope%2fname?do=nothing", "/a;v=1/b?do=nothing&x=/..;/", "/caf%e9/%u00e9?do=nothing"]) {
    const { head, outcome } = ask("nothing", { target });
    const { kind, head: sent } = await outcome;
    assert.equal(kind, "forward");
    assert.deepEqual(sent, head);
  }
});
