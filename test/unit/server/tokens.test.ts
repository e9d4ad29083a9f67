/** Tokens on every route that there is: none, wrong, over, taken back, of somebody else, or good for something else. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import fc from "fast-check";
import { ROUTES, UPGRADES } from "../../../src/server/api/routes.ts";
import { SCOPES } from "../../../src/server/tokens/token-format.ts";
import { sandboxInfo } from "../../fake-runtime.ts";
import { anyRequest } from "./any-request.ts";
import { openSandboxRpc } from "./fake-sandbox-rpc.ts";
import { configHeader, openBench, rawRequest, SANDBOX_ID, upgradeLines, type ServerBench } from "./harness.ts";

const CONNECT = `/api/v3/sandbox/${SANDBOX_ID}/connect`;
const CREATE = UPGRADES.create.path;

interface Refusal {
  title: string;
  token: string;
  headers?: Record<string, string>;
  answer: [status: number, code: string];
}

function refusals({ makeToken, tokens }: ServerBench): Refusal[] {
  const revoked = makeToken({ name: "taken back" });
  tokens.revoke("taken back");
  // One of the same name does not bring it back.
  makeToken({ name: "taken back" });
  const both = makeToken({ kind: "personal", organisations: ["local", "acme"] });
  return [
    { title: "none", token: "", answer: [401, "INVALID_TOKEN"] },
    { title: "revoked", token: revoked, answer: [401, "INVALID_TOKEN"] },
    { title: "over", token: makeToken({ expiresAt: Date.now() - 1 }), answer: [401, "TOKEN_EXPIRED"] },
    {
      ...{ title: "of another organisation", token: makeToken({ organisations: ["acme"] }) },
      ...{ headers: { "x-deno-org": "local" }, answer: [403, "ORG_FORBIDDEN"] as [number, string] },
    },
    { title: "of several, none named", token: both, answer: [400, "MISSING_ORG"] },
    {
      ...{ title: "of several, another one named", token: both },
      ...{ headers: { "x-deno-org": "globex" }, answer: [403, "ORG_FORBIDDEN"] as [number, string] },
    },
  ];
}

test("every route refuses a token that does not hold for it, whatever it is asked, and does nothing", async (t) => {
  const bench = await openBench(t);
  const common = refusals(bench);
  for (const route of ROUTES) {
    const others = SCOPES.filter((scope) => scope !== route.scope);
    const lacking = { title: `without ${route.scope}`, token: bench.makeToken({ scopes: others }) };
    const [request] = fc.sample(anyRequest(route, [SANDBOX_ID]), { numRuns: 1, seed: 1 });
    for (const { title, token, headers = {}, answer } of [
      ...common,
      { ...lacking, answer: [403, "INSUFFICIENT_SCOPE"] as [number, string] },
    ]) {
      const asked = { token, headers, ...(request?.body === undefined ? {} : { body: request.body }) };
      const { status, body } = await bench.call(route.method, request?.target ?? "", asked);
      assert.deepEqual([status, (body as { code: unknown }).code], answer, `${route.method} ${route.path}: ${title}`);
    }
  }
  assert.deepEqual([bench.runtime.calls, bench.organisations.opened], [[], ["local"]]);
});

test("every WebSocket is refused to a token that does not hold for it", async (t) => {
  const bench = await openBench(t);
  bench.runtime.sandboxes = [sandboxInfo({ id: SANDBOX_ID })];
  const reader = { title: "without sandboxes", token: bench.makeToken({ scopes: ["read", "volumes"] }) };
  for (const { title, token, headers = {}, answer } of [
    ...refusals(bench),
    { ...reader, answer: [403, "INSUFFICIENT_SCOPE"] as [number, string] },
  ]) {
    for (const path of [CONNECT, CREATE]) {
      const fields = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
      const lines = upgradeLines(path, token, [`x-deno-sandbox-config: ${configHeader()}`, ...fields]);
      const { head, socket } = await rawRequest(bench.url, lines);
      let text = "";
      for await (const chunk of socket) text += String(chunk);
      assert.deepEqual([Number(head.split(" ")[1]), /"code":"(\w+)"/.exec(text)?.[1]], answer, `${path}: ${title}`);
    }
  }
  assert.deepEqual(bench.runtime.calls, []);
});

test("a connection does not outlive its token, be it taken back or over; one beside it does", async (t) => {
  const { makeToken, runtime, tokens, url } = await openBench(t);
  const rpc = await openSandboxRpc(t);
  runtime.rpc = rpc.open;
  runtime.sandboxes = [sandboxInfo({ id: SANDBOX_ID })];
  const open = async (token: string): Promise<Buffer[]> => {
    const { head, socket } = await rawRequest(url, upgradeLines(CONNECT, token));
    assert.match(head, /^HTTP\/1\.1 101 /);
    const received: Buffer[] = [];
    socket.on("data", (chunk: Buffer) => received.push(chunk));
    ends.push(once(socket, "end").then(() => Buffer.concat(received)));
    return received;
  };
  const ends: Promise<Buffer>[] = [];
  await open(makeToken({ expiresAt: Date.now() + 200 }));
  await open(makeToken({ name: "lent" }));
  const kept = await open(makeToken());
  tokens.revoke("lent");
  for (const frame of await Promise.all(ends.slice(0, 2))) {
    assert.deepEqual([frame[0], frame.readUInt16BE(2)], [0x88, 1008]);
  }
  assert.deepEqual(kept, []);
});

test("an answer that goes on does not outlive its token", async (t) => {
  const { makeToken, tokens, url } = await openBench(t);
  const headers = { authorization: `Bearer ${makeToken({ name: "lent" })}` };
  const body = JSON.stringify({ follow: true });
  const response = await fetch(`${url}/api/sbx/v1/event.list`, { method: "POST", headers, body });
  assert.equal(response.status, 200);
  const text = response.text().catch(() => "cut off");
  tokens.revoke("lent");
  assert.doesNotMatch(await text, /"end":true/);
});
