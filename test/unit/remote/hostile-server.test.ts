/** Servers that answer what no server should: the runtime believes nothing of it, and follows it nowhere. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { CONTROL_HEADER } from "../../../src/protocol/control-call.ts";
import { sandboxInfo } from "../../fake-runtime.ts";
import { openPublishedServer, SANDBOX_ID, sendJson, website, type Answering } from "./published-server.ts";

const OWN = { [CONTROL_HEADER]: "1" };
const ABOUT = {
  ...{ version: "9", organisation: "o", scopes: [], limits: {} },
  features: ["create", "sandbox.list", "sandbox.get"],
};

/** A server that says it is one of sbx's own, and answers its calls so. */
const own =
  (answer: Answering): Answering =>
  (request, response) =>
    request.url === "/api/sbx/v1/about" ? sendJson(response, ABOUT, OWN) : answer(request, response);

const INFO = { ...sandboxInfo(), supervisorPid: null, vmPid: null };

test("an answer that is no JSON, or not what was asked for, is a failure of the server's", async (t) => {
  const bodies = [
    "",
    "{",
    "null",
    "[]",
    '{"id":1}',
    '[{"id":"x"}]',
    "<html>",
    JSON.stringify([{ ...INFO, status: "flying" }]),
  ];
  for (const body of bodies) {
    const { remote } = await openPublishedServer(t, {
      answer: own((_request, response) => response.writeHead(200, OWN).end(body)),
    });
    await assert.rejects(remote.get("web"), { code: "server_failed", message: /makes no sense/ }, body);
  }
});

test("a process id of a server is not taken for one of this machine", async (t) => {
  const { remote } = await openPublishedServer(t, {
    answer: own((_request, response) => sendJson(response, { ...INFO, vmPid: process.pid }, OWN)),
  });
  await assert.rejects(remote.get("web"), { code: "server_failed" });
});

test("a redirect is not followed, and the token goes nowhere else", async (t) => {
  const elsewhere = await openPublishedServer(t);
  for (const status of [301, 302, 307, 308]) {
    const { remote } = await openPublishedServer(t, {
      answer: own((_request, response) => response.writeHead(status, { ...OWN, location: elsewhere.url }).end()),
    });
    await assert.rejects(remote.list(), { code: "server_failed", message: /sends requests on/ });
  }
  assert.deepEqual(elsewhere.requests, []);
});

test("an answer without an end is given up, and so is one that is too long", async (t) => {
  const abort = new AbortController();
  const { remote } = await openPublishedServer(t, {
    answer: own((_request, response) => {
      response.writeHead(200, OWN).write("[");
      setImmediate(() => abort.abort());
    }),
  });
  await assert.rejects(remote.list({ signal: abort.signal }), { code: "aborted" });
  const long = await openPublishedServer(t, {
    answer: own((_request, response) => {
      response.writeHead(200, OWN);
      const chunk = Buffer.alloc(1024 * 1024, 0x20);
      const more = (): void => {
        while (!response.destroyed && response.write(chunk));
        if (!response.destroyed) response.once("drain", more);
      };
      more();
    }),
  });
  await assert.rejects(long.remote.list(), { code: "connection_closed", message: /broke off/ });
});

test("lines that break off, have no end, or are no lines, are an error and never the whole", async (t) => {
  const line = JSON.stringify({ item: { time: 1, source: "console", text: "one" } });
  const bodies: [string, string][] = [
    [`${line}\n`, "connection_closed"],
    [`${line}\nno line\n`, "connection_closed"],
    [`${line}\n{"item":1,"end":true}\n`, "connection_closed"],
    [`${line}\n{"item":{"time":1,"source":"elsewhere","text":""}}\n{"end":true}\n`, "server_failed"],
    [`${line}\n{"error":{"code":"INTERNAL","message":"no","sbx":{"code":"from_the_future"}}}\n`, "server_failed"],
  ];
  for (const [body, code] of bodies) {
    const { remote } = await openPublishedServer(t, {
      answer: own((_request, response) => response.writeHead(200, OWN).end(body)),
    });
    const seen: string[] = [];
    const all = async (): Promise<void> => {
      for await (const { text } of remote.logs("web")) seen.push(text);
    };
    await assert.rejects(all(), { code }, body);
    assert.deepEqual(seen, ["one"]);
  }
});

test("a sandbox that is not the one that was asked for is not connected to", async (t) => {
  const wrong = [[], ["x-deno-sandbox-id: ../../etc"], ["x-deno-sandbox-id: sbx_ord_00000000000000000009"]];
  for (const fields of wrong) {
    const { remote } = await openPublishedServer(t, { answer: website, fields });
    await assert.rejects(remote.connect(SANDBOX_ID), { code: "server_failed", message: /which sandbox/ });
  }
});

test("an id of the published list that is none spoils the list", async (t) => {
  const entry = {
    id: "\u001b]0;x\u0007",
    createdAt: "2026-01-02T03:04:05Z",
    stoppedAt: null,
    region: "ord",
    status: "running",
  };
  const { remote } = await openPublishedServer(t, {
    answer: (request, response) =>
      request.url?.startsWith("/api/v2/sandboxes") === true ? sendJson(response, [entry]) : website(request, response),
  });
  await assert.rejects(remote.list(), { code: "server_failed" });
});

test("a name with control characters is data: it is shown by whoever escapes it", async (t) => {
  const name = "\u001b[31mred";
  const { remote } = await openPublishedServer(t, {
    answer: own((_request, response) => sendJson(response, [{ ...INFO, name }], OWN)),
  });
  assert.equal((await remote.list())[0]?.name, name);
});

test("a refusal that is a page of HTML, or endless words, is one short message", async (t) => {
  const { remote } = await openPublishedServer(t, {
    answer: own((_request, response) => response.writeHead(502, OWN).end("<h1>Bad gateway</h1>".repeat(10_000))),
  });
  await assert.rejects(remote.list(), (error: Error & { code: string }) => {
    assert.equal(error.code, "server_failed");
    assert.ok(error.message.length < 4000);
    return true;
  });
});
