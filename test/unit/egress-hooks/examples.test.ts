/** Every example of examples/hooks, through the real process. */
import assert from "node:assert/strict";
import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, test } from "node:test";
import type { RequestHead } from "../../../src/egress/http-heads.ts";
import type { Hooks, RequestOutcome } from "../../../src/egress/hooks/hooks.ts";
import { bodyOf, NEVER, openHooks, requestHead, responseHead, textOf, until, type TestHooks } from "./hook-module.ts";

const EXAMPLES = path.resolve("examples/hooks");
const directory = mkdtempSync(path.join(tmpdir(), "sbx-examples-"));
after(() => rmSync(directory, { recursive: true }));
const tested = new Set<string>();

/** A copy of it, since one of them writes beside itself. */
async function openExample(name: string): Promise<TestHooks> {
  tested.add(name);
  const modulePath = path.join(directory, name);
  copyFileSync(path.join(EXAMPLES, name), modulePath);
  return await openHooks(null, { modulePath });
}

function ask(hooks: Hooks, method: string, url: string, body?: string, type?: string): Promise<RequestOutcome> {
  const { host, pathname, search } = new URL(url);
  const fields: RequestHead["fields"] = type === undefined ? [] : [["Content-Type", type]];
  const head = requestHead({ method, host, target: `${pathname}${search}`, fields });
  return hooks.onRequest(head, body === undefined ? null : bodyOf(body), NEVER, 1);
}

test("rate-limit.ts lets sixty requests to a host pass at once, and answers the others", async () => {
  await using opened = await openExample("rate-limit.ts");
  const outcomes = await Promise.all(
    Array.from({ length: 80 }, () => ask(opened.hooks, "GET", "https://a.example.com/")),
  );
  const answered = outcomes.filter(({ kind }) => kind === "respond");
  assert.ok(answered.length >= 15 && answered.length <= 20, `${answered.length} were answered`);
  assert.deepEqual(answered[0]?.head, {
    status: 429,
    fields: [
      ["content-type", "text/plain;charset=UTF-8"],
      ["retry-after", "1"],
      ["content-length", "18"],
    ],
  });
  assert.equal((await ask(opened.hooks, "GET", "https://b.example.com/")).kind, "forward");
});

test("redact.ts takes addresses out of text, and leaves what is none alone", async () => {
  await using opened = await openExample("redact.ts");
  const url = "https://a.example.com/";
  const redacted = await ask(opened.hooks, "POST", url, '{"to":"jo.doe+x@mail.example.org","n":1}', "application/json");
  assert.equal(await textOf(redacted.body), '{"to":"[e-mail]","n":1}');
  assert.deepEqual(redacted.head.fields, [
    ["Content-Type", "application/json"],
    ["content-length", "23"],
  ]);
  for (const [body, type] of [
    ["nobody here", "text/plain"],
    ["a@b.example in an image", "image/png"],
  ] as const) {
    assert.equal(await textOf((await ask(opened.hooks, "POST", url, body, type)).body), body);
  }
  await until(() => opened.lines.length > 0, "the log line");
  assert.deepEqual(opened.lines, ["flow 1: e-mail addresses taken out of a request to a.example.com"]);
});

test("record.ts writes a line for each response, and streams it on", async () => {
  await using opened = await openExample("record.ts");
  const request = requestHead({ method: "GET", target: "/items?key=value" });
  const outcome = await opened.hooks.onResponse(request, responseHead(), bodyOf("twelve ", "bytes"), NEVER, 9);
  assert.equal(await textOf(outcome.body), "twelve bytes");
  await opened.hooks.onResponse(request, responseHead({ status: 304 }), null, NEVER, 9);
  const file = path.join(directory, "requests.jsonl");
  const lines = readFileSync(file, "utf8").trim().split("\n");
  const records = lines.map((line) => ({ ...(JSON.parse(line) as Record<string, unknown>), ms: 0 }));
  const common = { sandbox: "box", flow: 9, method: "GET", url: "https://api.example.com/items" };
  assert.deepEqual(records, [
    { ...common, status: 200, bytes: 12, ms: 0 },
    { ...common, status: 304, bytes: 0, ms: 0 },
  ]);
  assert.equal(statSync(file).mode & 0o777, 0o600);
});

test("deny-by-path.ts allows reading, and writing in one place", async () => {
  await using opened = await openExample("deny-by-path.ts");
  for (const [method, target, kind] of [
    ["GET", "/v1/anything", "forward"],
    ["POST", "/v1/drafts/1", "forward"],
    ["POST", "/v1/other", "respond"],
    ["DELETE", "/v1/drafts", "respond"],
    ["POST", "/v1/drafts/../other", "respond"],
    ["POST", "/v1/drafts%2f1", "forward"],
    ["POST", "/v1/other%2f1", "respond"],
    ["POST", "/v1/dr%61fts/1", "forward"],
  ] as const) {
    const outcome = await opened.hooks.onRequest(requestHead({ method, target }), null, NEVER);
    assert.equal(outcome.kind, kind, `${method} ${target}`);
    if (outcome.kind === "respond") assert.equal(outcome.head.status, 403);
  }
  for (const [target, error] of [
    ["/v1/drafts/%ff", /URIError/],
    ["/v1/drafts/..%2fother", /segments/],
    ["/v1/drafts/%252e%252e/other", /segments/],
  ] as const) {
    await assert.rejects(opened.hooks.onRequest(requestHead({ method: "POST", target }), null, NEVER), error);
  }
});

test("answer-locally.ts answers what it knows", async () => {
  await using opened = await openExample("answer-locally.ts");
  const known = await ask(opened.hooks, "GET", "https://api.example.com/v1/account?x=1");
  assert.equal(known.kind, "respond");
  assert.equal(await textOf(known.body), '{"plan":"test"}');
  assert.equal((await ask(opened.hooks, "POST", "https://api.example.com/v1/account")).kind, "forward");
});

test("every example has a test", () => {
  assert.deepEqual(
    [...tested].sort(),
    readdirSync(EXAMPLES)
      .filter((name) => name.endsWith(".ts"))
      .sort(),
  );
});
