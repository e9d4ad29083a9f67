import assert from "node:assert/strict";
import { Readable } from "node:stream";
import { test } from "node:test";
import { HookError } from "../../../src/egress/hooks/hooks.ts";
import type { FieldLines } from "../../../src/egress/http-heads.ts";
import { ask, exchangeRaw, readAll, readUntil } from "./clients.ts";
import { fakeHooks } from "./fake-hooks.ts";
import { PLACEHOLDER, VALUE } from "./fake-secrets.ts";
import { ALLOW, HOST, startHarness } from "./harness.ts";
import { httpsServer } from "./servers.ts";

function withField(fields: FieldLines, name: string, value: string): FieldLines {
  return [...fields, [name, value]];
}

test("a hook sees the placeholder, before and after, and changes what is sent and what returns", async () => {
  await using upstream = await httpsServer((request, response) => {
    void readAll(request).then((body) => {
      response.setHeader("x-key", request.headers["x-key"] ?? "");
      response.end(`${String(request.headers["x-added"])} ${body.toString()}`);
    });
  });
  const seen: string[] = [];
  const hooks = fakeHooks({
    async onRequest(head, body, _signal, flow) {
      seen.push(`${flow} ${JSON.stringify(head.fields.find(([name]) => name.toLowerCase() === "x-key"))}`);
      const text = body === null ? "" : (await readAll(body)).toString();
      const fields = withField(head.fields, "x-added", "yes").filter(
        ([name]) => name.toLowerCase() !== "content-length",
      );
      return {
        kind: "forward",
        head: { ...head, fields },
        body: Readable.from([Buffer.from(text.toUpperCase())]),
        bodyReplaced: true,
      };
    },
    async onResponse(_request, head, body) {
      seen.push(JSON.stringify(head.fields.find(([name]) => name.toLowerCase() === "x-key")));
      const text = body === null ? "" : (await readAll(body)).toString();
      const fields = head.fields.filter(([name]) => name.toLowerCase() !== "content-length");
      return { head: { status: 201, fields }, body: Readable.from([Buffer.from(`[${text}]`)]), bodyReplaced: true };
    },
  });
  await using harness = await startHarness({ upstreamPort: upstream.port, hooks });
  const got = await ask(harness, "/", { method: "POST", body: "body", headers: { "x-key": PLACEHOLDER } });
  assert.deepEqual([got.status, got.body.toString()], [201, "[yes BODY]"]);
  assert.deepEqual(seen, [`1 ["x-key","${PLACEHOLDER}"]`, `["x-key","${PLACEHOLDER}"]`]);
});

test("a hook that answers itself: nothing leaves", async () => {
  const hooks = fakeHooks({
    async onRequest() {
      return {
        kind: "respond",
        head: { status: 418, fields: [["x-own", "1"]] },
        body: Readable.from([Buffer.from("teapot")]),
      };
    },
  });
  await using harness = await startHarness({ upstreamPort: 1, hooks });
  const got = await ask(harness, "/", { method: "POST", body: "unread" });
  assert.deepEqual([got.status, got.headers["x-own"], got.body.toString()], [418, "1", "teapot"]);
  assert.equal(harness.dials.length, 0);
  assert.equal((await harness.settled("request", 1))[0]?.status, 418);
});

test("a hook that changes the target is judged again, and goes where it says only if that is allowed", async () => {
  await using upstream = await httpsServer((request, response) =>
    response.end(`${request.headers.host}${request.url}`),
  );
  const judged: string[] = [];
  const hooks = fakeHooks({
    async onRequest(head, body) {
      const host = head.target === "/away" ? "forbidden.example.com" : "other.example.com";
      return { kind: "forward", head: { ...head, host, target: "/there" }, body };
    },
  });
  await using harness = await startHarness({
    upstreamPort: upstream.port,
    hooks,
    decide: (target) => {
      judged.push(`${target.host}${target.target}`);
      return target.host === "forbidden.example.com" ? { ...ALLOW, verdict: "deny", reason: "not there" } : ALLOW;
    },
  });
  assert.equal((await ask(harness, "/here")).body.toString(), "other.example.com/there");
  const denied = await ask(harness, "/away");
  assert.equal(denied.status, 403);
  assert.match(denied.body.toString(), /not there/);
  assert.deepEqual(judged, [`${HOST}/here`, "other.example.com/there", `${HOST}/away`, "forbidden.example.com/there"]);
  const events = await harness.settled("request", 2);
  assert.deepEqual(
    events.map(({ host, url, verdict }) => ({ host, url, verdict })),
    [
      { host: "other.example.com", url: "https://other.example.com/there", verdict: "allow" },
      { host: "forbidden.example.com", url: "https://forbidden.example.com/there", verdict: "deny" },
    ],
  );
});

test("a hook that fails fails closed, before the request and after it", async () => {
  await using upstream = await httpsServer((_request, response) => response.end(`secret ${VALUE}`));
  const fail = async (): Promise<never> => {
    throw new HookError(`onRequest took longer than 5 s, with ${VALUE}`);
  };
  await using before = await startHarness({ upstreamPort: upstream.port, hooks: fakeHooks({ onRequest: fail }) });
  const refused = await ask(before, "/");
  assert.equal(refused.status, 502);
  assert.deepEqual(JSON.parse(refused.body.toString()), {
    error: "hook_failed",
    message: `onRequest took longer than 5 s, with ${PLACEHOLDER}`,
  });
  assert.equal(before.dials.length, 0);
  await using after = await startHarness({ upstreamPort: upstream.port, hooks: fakeHooks({ onResponse: fail }) });
  const withheld = await ask(after, "/");
  assert.equal(withheld.status, 502);
  assert.doesNotMatch(withheld.body.toString(), /secret/);
});

test("what a hook returns cannot break out of its message", async () => {
  await using upstream = await httpsServer((_request, response) => response.end("x"));
  const requests: [FieldLines, string][] = [
    [[["x", "a\r\nevil: 1"]], "/"],
    [[["x y", "a"]], "/"],
    [[], "/ HTTP/1.1\r\nevil: 1"],
  ];
  for (const [fields, target] of requests) {
    const hooks = fakeHooks({
      onRequest: async (head, body) => ({ kind: "forward", head: { ...head, fields, target }, body }),
    });
    await using harness = await startHarness({ upstreamPort: upstream.port, hooks });
    assert.equal((await ask(harness, "/")).status, 400);
    assert.equal(harness.dials.length, 0);
  }
  const hooks = fakeHooks({
    onResponse: async (_request, head, body) => ({ head: { ...head, fields: [["x", "a\r\nevil: 1"]] }, body }),
  });
  await using harness = await startHarness({ upstreamPort: upstream.port, hooks });
  assert.equal((await ask(harness, "/")).status, 502);
});

test("a guest that waits for 100 gets it from here where a hook reads the body", async () => {
  await using upstream = await httpsServer((request, response) => {
    request.resume().on("end", () => response.end(String(request.headers.expect)));
  });
  const hooks = fakeHooks({
    async onRequest(head, body) {
      const text = body === null ? Buffer.alloc(0) : await readAll(body);
      return { kind: "forward", head, body: Readable.from([text]) };
    },
  });
  await using harness = await startHarness({ upstreamPort: upstream.port, hooks });
  const socket = await harness.connect();
  socket.write(
    `POST / HTTP/1.1\r\nhost: ${HOST}\r\nexpect: 100-continue\r\ncontent-length: 4\r\nconnection: close\r\n\r\n`,
  );
  await readUntil(socket, "100 Continue\r\n\r\n");
  assert.match(await exchangeRaw(socket, "body"), /undefined/);
});

test("a body that is not as long as a hook says is not sent as if it were", async () => {
  let complete = false;
  await using upstream = await httpsServer((request, response) => {
    request.on("error", () => undefined).resume();
    request.on("end", () => {
      complete = true;
      response.end();
    });
  });
  for (const length of ["2", "20"]) {
    const hooks = fakeHooks({
      onRequest: async (head) => ({
        kind: "forward",
        head: { ...head, fields: [["content-length", length]] },
        body: Readable.from([Buffer.from("hello")]),
      }),
    });
    await using harness = await startHarness({ upstreamPort: upstream.port, hooks });
    assert.equal((await ask(harness, "/", { method: "POST", body: "x" })).status, 502);
  }
  assert.equal(complete, false);
});
