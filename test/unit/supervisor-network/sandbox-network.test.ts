/** The network of a sandbox before it is open: what it waits for, and for how long. */
import { test, type TestContext } from "node:test";
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type AddressInfo, Socket } from "node:net";
import { once } from "node:events";
import { tmpdir } from "node:os";
import path from "node:path";
import { SandboxNetwork, type SandboxNetworkOptions } from "../../../src/supervisor/network/sandbox-network.ts";

const SECRET = { name: "KEY", hosts: [{ host: "a.example", port: null, scheme: "https" as const }] };

async function makeNetwork(
  t: TestContext,
  settingsDeadlineMs: number,
  change: Partial<SandboxNetworkOptions> = {},
): Promise<SandboxNetwork> {
  const directory = mkdtempSync(path.join(tmpdir(), "sbx-network-"));
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const link = new Socket().connect((server.address() as AddressInfo).port, "127.0.0.1");
  await once(link, "connect");
  const network = new SandboxNetwork({
    launch: {
      ...{ id: "sbx-test", name: null, directory },
      egress: {
        ...{ policy: { mode: "none", rules: [], expressions: [] }, secrets: [SECRET], onLeak: "block" },
        ...{ inspect: false, hookPath: null, resolve: [], awaitsSettings: true },
      },
    },
    ...{ link, log: () => undefined, settingsDeadlineMs, ...change },
  });
  t.after(async () => {
    await network[Symbol.asyncDispose]();
    link.destroy();
    server.close();
    rmSync(directory, { recursive: true });
  });
  return network;
}

test("a value that does not come ends the start, with the secret named", async (t) => {
  const network = await makeNetwork(t, 20);
  await assert.rejects(network.open(), {
    code: "timeout",
    message: "the sandbox was not started: values of secrets (KEY) did not come within 0.02 s",
  });
  // Too late: what was given up stays so.
  network.setSecrets({ values: { KEY: "a value that came too late" } });
  await assert.rejects(network.open(), { code: "timeout" });
});

test("a start that is given up while it waits ends with that reason", async (t) => {
  const network = await makeNetwork(t, 60_000);
  const given = new AbortController();
  const opening = network.open(given.signal);
  given.abort(new Error("given up"));
  await assert.rejects(opening, /^Error: given up$/);
});

test("a value that comes opens it", async (t) => {
  const network = await makeNetwork(t, 60_000);
  const opening = network.open();
  assert.deepEqual(network.setSecrets({ values: { KEY: "a value of some length" } }), { set: ["KEY"], missing: [] });
  const { environment } = await opening;
  assert.match(environment.get("KEY") ?? "", /^DENO_SECRET_PLACEHOLDER_/);
});

test("who watches is told the names of secrets, and whether it is their first value", async (t) => {
  const told: unknown[] = [];
  const network = await makeNetwork(t, 60_000, { onSecrets: (names, how) => told.push([...names, how]) });
  network.setSecrets({ values: { KEY: "a value of some length" } });
  network.setSecrets({ values: { KEY: "another value of some length" } });
  assert.throws(() => network.setSecrets({ values: { OTHER: "a value of some length" } }));
  assert.deepEqual(told, [
    ["KEY", "granted"],
    ["KEY", "rotated"],
  ]);
});
