/** Requests to hosts that a secret does not belong to. */
import assert from "node:assert/strict";
import { once } from "node:events";
import type { Transform } from "node:stream";
import { test } from "node:test";
import { brotliCompressSync, deflateSync, gzipSync, zstdCompressSync } from "node:zlib";
import type { RequestHead } from "../../../src/egress/http-heads.ts";
import { LeakError } from "../../../src/egress/secrets/secrets.ts";
import {
  API,
  cut,
  fieldOf,
  openSandbox,
  PLAIN_VALUE,
  placeholderOf,
  request,
  response,
  send,
  sendUntilError,
  WRITINGS,
} from "./sandbox-secrets.ts";

const OTHER = "other.example.org";
const PLACES: [where: string, place: (text: string) => Partial<RequestHead>][] = [
  ["method", (text) => ({ method: text })],
  ["path", (text) => ({ target: `/a/${text}/b?c` })],
  ["query", (text) => ({ target: `/a?b=${text}&c` })],
  ["header x-key", (text) => ({ fields: [["X-Key", `a ${text}`]] })],
  ["header cookie", (text) => ({ fields: [["cookie", `a=${text}; b=c`]] })],
  ["header proxy-x", (text) => ({ fields: [["Proxy-X", text]] })],
];

test("a placeholder is found in every part of a head and in every way to write it", () => {
  for (const [how, write] of Object.entries(WRITINGS)) {
    for (const [where, place] of PLACES) {
      const { secrets, placeholder, leaks } = openSandbox();
      const head = request({ host: OTHER, ...place(write(placeholder)) });
      const outgoing = secrets.openRequest(head);
      const leak = { secret: "KEY", where, what: "placeholder" } as const;
      assert.ok(outgoing.blocked, `${how} in ${where}`);
      assert.deepEqual(outgoing.leaks, [leak], `${how} in ${where}`);
      assert.deepEqual(leaks, [{ leak, head }]);
      assert.deepEqual(outgoing.used, []);
    }
  }
});

test("capitals do not hide a placeholder, and a header's name is not repeated", () => {
  const { secrets, placeholder } = openSandbox();
  const inName = secrets.openRequest(
    request({ host: OTHER, fields: [[`x-${placeholder.toLowerCase()}`, `v ${PLAIN_VALUE}`]] }),
  );
  assert.deepEqual(inName.leaks, [
    { secret: "KEY", where: "header name", what: "placeholder" },
    { secret: "KEY", where: "header", what: "value" },
  ]);
  for (const text of [placeholder.toUpperCase(), placeholder.replace("DENO", "%64%65no")]) {
    assert.ok(secrets.openRequest(request({ host: OTHER, target: `/${text}` })).blocked);
  }
});

test("what is not wholly a placeholder of this sandbox is none", () => {
  const { secrets, placeholder } = openSandbox();
  const foreign = openSandbox().placeholder;
  for (const text of [placeholder.slice(0, -1), placeholder.slice(1), foreign, placeholder.replace("_", "-")]) {
    const outgoing = secrets.openRequest(request({ host: OTHER, target: `/?${text}`, fields: [["a", text]] }));
    assert.deepEqual(outgoing.leaks, []);
  }
});

test("a host is the secret's own by name, port and scheme together", () => {
  const hosts = [
    { host: "api.example.com", port: 8443, scheme: "https" },
    { host: "*.example.net", port: null, scheme: "https" },
    { host: "plain.example.com", port: 80, scheme: "http" },
    { host: "192.0.2.7", port: null, scheme: "https" },
    { host: "2001:db8::7", port: null, scheme: "https" },
  ] as const;
  const cases: [scheme: "http" | "https", host: string, port: number, own: boolean][] = [
    ["https", "api.example.com", 8443, true],
    ["https", "api.example.com", 443, false],
    ["http", "api.example.com", 8443, false],
    ["https", "a.example.net", 1234, true],
    ["http", "a.example.net", 80, false],
    ["https", "example.net", 443, false],
    ["https", "example.net.evil.example", 443, false],
    ["https", "evilexample.net", 443, false],
    ["http", "plain.example.com", 80, true],
    ["http", "plain.example.com", 8080, false],
    ["https", "plain.example.com", 443, false],
    ["https", "192.0.2.7", 443, true],
    ["https", "192.0.2.77", 443, false],
    ["https", "2001:db8::7", 443, true],
    ["https", "2001:db8::8", 443, false],
  ];
  const { secrets, placeholder } = openSandbox({ hosts: [...hosts] });
  for (const [scheme, host, port, own] of cases) {
    const outgoing = secrets.openRequest(request({ scheme, host, port, fields: [["x", placeholder]] }));
    const name = `${scheme}://${host}:${port}`;
    assert.equal(outgoing.blocked, !own, name);
    assert.equal(fieldOf(outgoing.head, "x"), own ? PLAIN_VALUE : placeholder, name);
  }
});

test("what another field says of the host does not matter", () => {
  const { secrets, placeholder } = openSandbox();
  const fields = [
    ["x-forwarded-host", "api.example.com"],
    ["referer", "https://api.example.com/"],
    ["x", placeholder],
  ] as const;
  assert.ok(secrets.openRequest(request({ host: OTHER, fields })).blocked);
});

test("one request can carry a secret of its host and leak another's placeholder", async () => {
  const { secrets, placeholder } = openSandbox({ more: ["second"] });
  const second = placeholderOf(secrets, "second");
  const head = secrets.openRequest(
    request({
      fields: [
        ["a", placeholder],
        ["b", second],
      ],
    }),
  );
  assert.ok(head.blocked);
  assert.deepEqual(head.used, ["KEY"]);
  const body = secrets.openRequest(request());
  await assert.rejects(send(body.body(), [`${placeholder} ${second}`]), (error: unknown) => {
    assert.ok(error instanceof LeakError);
    assert.deepEqual(error.leak, { secret: "second", where: "body", what: "placeholder" });
    assert.equal(error.message, "placeholder of second in body");
    return true;
  });
});

test("a body that leaks fails, and nothing of the leak came out before", async () => {
  for (const [how, write] of Object.entries(WRITINGS)) {
    const { secrets, placeholder, leaks } = openSandbox();
    const written = write(placeholder);
    const text = Buffer.from(`${"clean ".repeat(100)}${written}${" clean".repeat(100)}`);
    for (const size of [1, 7, 64, text.length]) {
      const outgoing = secrets.openRequest(request({ host: OTHER, fields: [["content-length", String(text.length)]] }));
      assert.ok(!outgoing.blocked);
      const stream = outgoing.body();
      assert.ok(stream);
      const { output, error } = await sendUntilError(stream, cut(text, size));
      assert.ok(error instanceof LeakError, how);
      assert.ok(text.toString().startsWith(output.toString()));
      // Base64 may begin with characters that have nothing of the placeholder in it.
      assert.ok(output.length <= 604, `${how} in pieces of ${size}`);
      assert.deepEqual(outgoing.leaks, [{ secret: "KEY", where: "body", what: "placeholder" }]);
    }
    assert.equal(leaks.length, 4);
  }
});

test("a clean body keeps its length and its bytes", async () => {
  const { secrets, placeholder } = openSandbox();
  const fields = [["content-length", "12345"]] as const;
  const outgoing = secrets.openRequest(request({ host: OTHER, fields }));
  assert.deepEqual(outgoing.head.fields, fields);
  const text = Buffer.from(`${placeholder.slice(0, -1)} %44%45NO \\u0044 ${placeholder.slice(0, 30)}`);
  for (const size of [1, 5, text.length]) {
    const stream = secrets.openRequest(request({ host: OTHER, fields })).body();
    assert.deepEqual(await send(stream, cut(text, size)), text);
  }
});

test("a compressed body that leaks fails, and one that does not passes with the same bytes", async () => {
  for (const [coding, code] of Object.entries({
    gzip: gzipSync,
    deflate: deflateSync,
    br: brotliCompressSync,
    zstd: zstdCompressSync,
  })) {
    const { secrets, placeholder } = openSandbox();
    const fields = [
      ["content-encoding", coding],
      ["content-length", "7"],
    ] as const;
    const leaking = code(`${"clean ".repeat(2000)}${placeholder}`);
    const clean = code(`${"clean ".repeat(2000)}${placeholder.slice(0, -1)}`);
    for (const size of [1, 100, 100_000]) {
      const outgoing = secrets.openRequest(request({ host: OTHER, fields }));
      assert.deepEqual(outgoing.head.fields, fields);
      const stream = outgoing.body();
      assert.ok(stream);
      const { output, error } = await sendUntilError(stream, cut(leaking, size));
      assert.ok(error instanceof LeakError, coding);
      assert.ok(output.length < leaking.length);
      const passed = await send(secrets.openRequest(request({ host: OTHER, fields })).body(), cut(clean, size));
      assert.deepEqual(passed, clean);
    }
  }
});

test("what follows the end of a coding is searched as well", async () => {
  const { secrets, placeholder } = openSandbox();
  const head = request({ host: OTHER, fields: [["content-encoding", "gzip"]] });
  const data = Buffer.concat([gzipSync("clean"), Buffer.from(`\0\0${placeholder}`)]);
  await assert.rejects(send(secrets.openRequest(head).body(), [data]), LeakError);
});

test("a coded body that says nothing for long is not waited for without end", async () => {
  const { secrets, placeholder } = openSandbox();
  const head = request({ host: OTHER, fields: [["content-encoding", "deflate"]] });
  const begin = deflateSync(placeholder.slice(0, 20), { finishFlush: 2 });
  const empty = Buffer.from("000000ffff".repeat(50_000), "hex");
  const chunks = [begin, ...Array.from({ length: 10 }, () => empty)];
  await assert.rejects(send(secrets.openRequest(head).body(), chunks), /says nothing/);
});

test("all coded bodies together hold no more than a part of what each may", async () => {
  const { secrets, placeholder } = openSandbox();
  const head = request({ host: OTHER, fields: [["content-encoding", "deflate"]] });
  const begin = deflateSync(placeholder.slice(0, 20), { finishFlush: 2 });
  const empty = Buffer.from("000000ffff".repeat(180_000), "hex");
  const hold = async (): Promise<{ body: Transform; error: Error | null }> => {
    const body = secrets.openRequest(head).body();
    assert.ok(body);
    body.on("error", () => undefined);
    const error = await new Promise<Error | null>((resolve) => {
      body.write(Buffer.concat([begin, empty]), (failure) => resolve(failure ?? null));
    });
    return { body, error };
  };
  const held: Awaited<ReturnType<typeof hold>>[] = [];
  for (let count = 0; count < 12; count += 1) held.push(await hold());
  const failed = held.filter(({ error }) => error !== null);
  assert.ok(failed.length >= 3 && failed.length < 12, `${failed.length} failed`);
  for (const { error } of failed) assert.match(error?.message ?? "", /says nothing/);
  for (const { body } of held) body.destroy();
  await new Promise((resolve) => setImmediate(resolve));
  for (let count = 0; count < 4; count += 1) {
    const { body, error } = await hold();
    assert.equal(error, null, "what was held has been let go of");
    const ended = once(body, "close");
    body.resume().end(Buffer.from("010000ffff", "hex"));
    await ended;
  }
  assert.equal((await hold()).error, null);
});

test("a body in several codings to another host is not passed on unread", async () => {
  const { secrets } = openSandbox();
  const head = request({ host: OTHER, fields: [["content-encoding", "gzip, br"]] });
  await assert.rejects(send(secrets.openRequest(head).body(), ["x"]), /several content codings/);
});

test("trailers and WebSocket messages that leak throw", () => {
  const { secrets, placeholder } = openSandbox();
  const outgoing = secrets.openRequest(request({ host: OTHER }));
  assert.throws(() => outgoing.trailers([["x-sum", placeholder]]), LeakError);
  assert.throws(() => outgoing.message(Buffer.from(`{"k":"${placeholder}"}`)), LeakError);
  assert.deepEqual(
    outgoing.leaks.map(({ where }) => where),
    ["header x-sum", "message"],
  );
  const clean = Buffer.from("clean");
  assert.equal(outgoing.message(clean), clean);
});

test("with report a leak is told and passes, with pass it is not even told", async () => {
  for (const onLeak of ["report", "pass"] as const) {
    const { secrets, placeholder, leaks } = openSandbox({ onLeak });
    const outgoing = secrets.openRequest(request({ host: OTHER, fields: [["x", placeholder]] }));
    assert.ok(!outgoing.blocked);
    assert.equal(fieldOf(outgoing.head, "x"), placeholder);
    assert.equal(
      (await send(outgoing.body(), [`a${placeholder}b${placeholder}`])).toString(),
      `a${placeholder}b${placeholder}`,
    );
    assert.equal(outgoing.message(Buffer.from(placeholder)).toString(), placeholder);
    assert.deepEqual(outgoing.trailers([["x", placeholder]]), [["x", placeholder]]);
    assert.deepEqual(
      leaks.map(({ leak }) => leak.where),
      onLeak === "pass" ? [] : ["header x", "body", "message"],
    );
  }
});

test("a value that the guest should not have is found towards any other host", async () => {
  for (const [how, write] of Object.entries(WRITINGS)) {
    const { secrets } = openSandbox();
    const outgoing = secrets.openRequest(request({ host: OTHER, fields: [["x", write(PLAIN_VALUE)]] }));
    assert.deepEqual(outgoing.leaks, [{ secret: "KEY", where: "header x", what: "value" }], how);
    assert.ok(outgoing.blocked);
    await assert.rejects(send(secrets.openRequest(request({ host: OTHER })).body(), [write(PLAIN_VALUE)]), LeakError);
    assert.ok(!secrets.openRequest(request({ fields: [["x", write(PLAIN_VALUE)]] })).blocked, "its own host has it");
  }
});

test("a value is reported with pass as well, and is not blocked then", () => {
  const { secrets, leaks } = openSandbox({ onLeak: "pass" });
  const outgoing = secrets.openRequest(request({ host: OTHER, target: `/?${PLAIN_VALUE}` }));
  assert.ok(!outgoing.blocked);
  assert.deepEqual(
    leaks.map(({ leak }) => leak),
    [{ secret: "KEY", where: "query", what: "value" }],
  );
});

test("a value of fewer than 8 bytes is not looked for in requests", () => {
  const { secrets } = openSandbox({ value: "hunter2" });
  assert.ok(!secrets.openRequest(request({ host: OTHER, target: "/?hunter2" })).blocked);
});

test("after a rotation the new value is used at once, and the old one is forbidden towards every host", async () => {
  const { secrets, placeholder } = openSandbox();
  const open = secrets.openRequest(request());
  const body = open.body();
  const socket = secrets.openRequest(request());
  secrets.setValue("KEY", "the-new-value-0123");
  assert.equal((await send(body, [placeholder])).toString(), "the-new-value-0123", "a request under way");
  assert.equal(socket.message(Buffer.from(placeholder)).toString(), "the-new-value-0123");
  assert.equal(fieldOf(secrets.openRequest(request({ fields: [["x", placeholder]] })).head, "x"), "the-new-value-0123");
  for (const host of [OTHER, API.host]) {
    const outgoing = secrets.openRequest(request({ host, fields: [["x", PLAIN_VALUE]] }));
    assert.deepEqual(outgoing.leaks, [{ secret: "KEY", where: "header x", what: "value" }]);
    assert.ok(outgoing.blocked);
  }
  const echo = secrets.openResponse(request(), response([["x", `${PLAIN_VALUE} the-new-value-0123`]]));
  assert.equal(fieldOf(echo.head, "x"), `${placeholder} ${placeholder}`);
  secrets.setValue("KEY", PLAIN_VALUE);
  assert.ok(!secrets.openRequest(request({ fields: [["x", PLAIN_VALUE]] })).blocked, "rotated back");
  assert.ok(secrets.openRequest(request({ fields: [["x", "the-new-value-0123"]] })).blocked);
});

test("a rotation in the middle of a response scrubs both values", async () => {
  const { secrets, placeholder } = openSandbox();
  const body = secrets.openResponse(request(), response()).body();
  assert.ok(body);
  const output: Buffer[] = [];
  body.on("data", (chunk: Buffer) => output.push(chunk));
  await new Promise((resolve) => body.write(`${PLAIN_VALUE} ${PLAIN_VALUE.slice(0, 10)}`, resolve));
  secrets.setValue("KEY", "the-new-value-0123");
  await new Promise((resolve) => body.write(`${PLAIN_VALUE.slice(10)} the-new-value-0123`, resolve));
  await new Promise((resolve) => body.end(resolve));
  assert.equal(Buffer.concat(output).toString(), `${placeholder} ${placeholder} ${placeholder}`);
});
