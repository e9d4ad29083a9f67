/** The network of a running sandbox is asked of its supervisor; the log is read from its directory. */
import assert from "node:assert/strict";
import { appendFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { test, type TestContext } from "node:test";
import { SbxError } from "../../../src/runtime/errors.ts";
import { LocalNetwork } from "../../../src/runtime/local/network/local-network.ts";
import type { SandboxRow } from "../../../src/store/sandbox-store.ts";
import { networkView } from "../../fake-runtime.ts";
import { temporaryDirectory } from "../store/temporary-directory.ts";
import { openFakeDoor, type FakeDoor } from "./fake-door.ts";

interface Fixture {
  door: FakeDoor;
  network: LocalNetwork;
  row: SandboxRow;
}

async function open(t: TestContext): Promise<Fixture> {
  const door = await openFakeDoor(t);
  const directory = temporaryDirectory(t);
  const row = { id: "sbx_loc_1", status: "running", socket: door.socketPath, directory } as SandboxRow;
  const find = (ref: string): SandboxRow => {
    if (ref !== "web") throw new SbxError("sandbox_not_found", `no sandbox is called "${ref}"`);
    return row;
  };
  const findRunning = (ref: string): SandboxRow => {
    if (find(ref).status !== "running") throw new SbxError("sandbox_stopped", "not running");
    return row;
  };
  return { door, row, network: new LocalNetwork({ find, findRunning, get: () => row }) };
}

test("each question goes to the sandbox's own socket, as the protocol has it", async (t) => {
  const { door, network } = await open(t);
  const view = networkView({ mode: "open" });
  const decision = { verdict: "deny", rule: null, reason: "no", fix: null };
  door.answers.set("GET /sbx/v1/net", () => ({ body: view }));
  door.answers.set("GET /sbx/v1/net/denied", () => ({ body: [] }));
  door.answers.set("POST /sbx/v1/net/check", () => ({ body: { decision, carried: null, secrets: [] } }));
  door.answers.set("POST /sbx/v1/net/rules", () => ({ body: { rules: [], stillDenied: [] } }));
  assert.deepEqual(await network.show("web"), view);
  assert.deepEqual(await network.denied("web"), []);
  assert.equal((await network.check("web", "GET", "https://a.example/")).decision.reason, "no");
  assert.deepEqual(await network.change("web", "deny", ["a.example"]), { rules: [], stillDenied: [] });
  assert.deepEqual(door.requests, [
    { method: "GET", target: "/sbx/v1/net", body: null },
    { method: "GET", target: "/sbx/v1/net/denied", body: null },
    { method: "POST", target: "/sbx/v1/net/check", body: { method: "GET", url: "https://a.example/" } },
    { method: "POST", target: "/sbx/v1/net/rules", body: { verdict: "deny", hosts: ["a.example"] } },
  ]);
});

test("a question that the supervisor refuses is the user's mistake; anything else is not", async (t) => {
  const { door, network } = await open(t);
  door.answers.set("POST /sbx/v1/net/check", () => ({ status: 400, body: { code: "usage", message: "no such URL" } }));
  door.answers.set("GET /sbx/v1/net", () => ({ status: 500, body: { code: "INTERNAL", message: "broken" } }));
  await assert.rejects(network.check("web", "GET", "x"), { code: "usage", message: "no such URL" });
  await assert.rejects(network.show("web"), { code: "guest_error", message: "broken" });
});

test("a supervisor that is gone, a stopped sandbox and an unknown one are told apart", async (t) => {
  const { network, row } = await open(t);
  await assert.rejects(network.show("other"), { code: "sandbox_not_found" });
  row.socket = "/nowhere/s.sock";
  await assert.rejects(network.show("web"), { code: "supervisor_lost" });
  row.status = "stopped";
  await assert.rejects(network.show("web"), { code: "sandbox_stopped" });
});

test("the signal ends a question", async (t) => {
  const { network } = await open(t);
  await assert.rejects(network.show("web", { signal: AbortSignal.abort() }), { code: "aborted" });
});

test("the log of a sandbox that stopped is read; a running one's is followed until it stops", async (t) => {
  const { network, row } = await open(t);
  const file = path.join(row.directory, "net.log");
  const line = (host: string): string => `${JSON.stringify({ time: 1, kind: "dns", verdict: "deny", host })}\n`;
  writeFileSync(file, line("a.example"));
  const seen: (string | undefined)[] = [];
  for await (const { host } of network.log("web", { follow: true })) {
    seen.push(host);
    if (host === "a.example") appendFileSync(file, line("b.example"));
    else row.status = "stopped";
  }
  assert.deepEqual(seen, ["a.example", "b.example"]);
  const again: (string | undefined)[] = [];
  for await (const { host } of network.log("web")) again.push(host);
  assert.deepEqual(again, seen);
});
