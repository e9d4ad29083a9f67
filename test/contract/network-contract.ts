/** What a sandbox may reach, and what it tried. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { run } from "../../src/library/run.ts";
import type { Place } from "./place.ts";

export function networkContract(place: () => Place): void {
  test("a sandbox without a network reaches nothing; what it tried is told, with the way to allow it", async () => {
    const { runtime, sandbox } = place();
    const { network } = runtime;
    const lookup = ["getent", "hosts", "nowhere.example.com"] as const;
    assert.notEqual((await run(sandbox, lookup)).code, 0);
    const [denial] = await network.denied("contract");
    assert.equal(denial?.host, "nowhere.example.com");
    assert.equal((await network.show("contract")).mode, "none");
    const before = await network.check("contract", "GET", "https://nowhere.example.com/");
    assert.deepEqual([before.decision.verdict, before.carried], ["deny", null]);
    const { rules, stillDenied } = await network.change("contract", "allow", ["nowhere.example.com"]);
    assert.deepEqual([rules.length, stillDenied], [1, []]);
    const { decision } = await network.check("contract", "GET", "https://nowhere.example.com/");
    assert.deepEqual([decision.verdict, decision.rule?.id], ["allow", rules[0]?.id]);
    assert.equal((await run(sandbox, lookup)).code, 0);
    const kinds: string[] = [];
    for await (const { kind, verdict, host } of network.log("contract", {
      filter: ({ kind }) => kind === "dns",
      tail: 2,
    }))
      kinds.push(`${kind} ${verdict} ${host ?? ""}`);
    assert.ok(kinds.includes("dns deny nowhere.example.com"), kinds.join());
  });

  test("a rule that does not parse changes nothing", async () => {
    const { network } = place().runtime;
    const before = (await network.show("contract")).rules.length;
    await assert.rejects(network.change("contract", "allow", ["good.example.com", "not a host"]), { code: "usage" });
    assert.equal((await network.show("contract")).rules.length, before);
  });
}
