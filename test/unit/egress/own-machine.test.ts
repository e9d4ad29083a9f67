/** The whole way out, put together, and this machine's own addresses under `--net open`. */
import assert from "node:assert/strict";
import { networkInterfaces } from "node:os";
import { Duplex } from "node:stream";
import { test } from "node:test";
import { openEgress } from "../../../src/egress/egress.ts";
import { WaitingStack } from "../../../src/egress/waiting-stack.ts";

const own = Object.values(networkInterfaces())
  .flatMap((addresses) => addresses ?? [])
  .filter(({ internal }) => !internal)
  .map(({ address, family }) => (family === "IPv6" ? `[${address}]` : address));

test("an address of this machine is closed until a rule names it", { skip: own.length === 0 }, async () => {
  const link = new Duplex({ read: () => undefined, write: (_chunk, _encoding, done) => done() });
  await using egress = await openEgress({
    stack: new WaitingStack(link, () => undefined),
    launch: {
      policy: { mode: "open", rules: [], expressions: [] },
      secrets: [],
      onLeak: "block",
      inspect: false,
      hookPath: null,
      resolve: [],
      awaitsSettings: false,
    },
    settings: { values: new Map(), proxy: null, extraRootsPem: [] },
    sandbox: { id: "s1", name: null },
    audit: () => undefined,
    log: () => undefined,
    hookHost: { nodePath: process.execPath, scriptPath: "/nonexistent" },
  });
  for (const address of own) {
    const call = { method: "GET", url: `tcp://${address}:22` };
    const { decision } = await egress.check(call);
    assert.equal(decision.reason, `${address}:22 is an address of this machine, which only a rule that names it opens`);
    egress.changeRules({ verdict: "allow", hosts: [`${address}:22`] });
    assert.equal((await egress.check(call)).decision.verdict, "allow");
  }
});
