/** The network of a sandbox through a control plane. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { AuditEvent } from "../../../src/runtime/network.ts";
import { openRemoteRuntime } from "../../../src/runtime/remote/index.ts";
import { networkView, sandboxInfo } from "../../fake-runtime.ts";
import { openRemoteBench } from "./remote-bench.ts";

function event(time: number, verdict: AuditEvent["verdict"] = "deny"): AuditEvent {
  return { time, kind: "dns", verdict, host: `${time}.example` };
}

async function collect(events: AsyncIterable<AuditEvent>, count = Infinity): Promise<number[]> {
  const times: number[] = [];
  for await (const { time } of events) if (times.push(time) >= count) break;
  return times;
}

test("policy, verdicts and refusals are what the sandbox's own supervisor says", async (t) => {
  const { remote, runtime } = await openRemoteBench(t);
  runtime.sandboxes = [sandboxInfo({ name: "web" })];
  const denial = { host: "a.example", port: 443, count: 2, reason: "nothing allows it", fix: ["net", "allow"] };
  runtime.view = networkView({
    mode: "balanced",
    rules: [
      {
        ...{ id: "r1", verdict: "allow", text: "*.example:443", kind: "host", warning: null },
        source: { kind: "option", option: "--allow-net" },
      },
    ],
    secrets: [
      {
        ...{ name: "KEY", placeholder: "sbx_secret_x", hasValue: true },
        hosts: [{ host: "api.example", port: null, scheme: "https" }],
      },
    ],
    denied: [denial],
  });
  runtime.deniedTargets = [denial];
  assert.deepEqual(await remote.network.show("web"), runtime.view);
  assert.deepEqual(await remote.network.denied("web"), [denial]);
  assert.deepEqual(await remote.network.check("web", "GET", "https://a.example"), runtime.checkAnswer);
  const { rules } = await remote.network.change("web", "allow", ["a.example", "b.example"]);
  assert.equal(rules.length, 2);
  assert.deepEqual(runtime.calls.at(-1), {
    method: "network.change",
    args: ["web", "allow", ["a.example", "b.example"]],
  });
  await assert.rejects(remote.network.show("nothing"), { code: "sandbox_not_found", hint: "sbx list" });
});

test("a rule opens nothing that is not public, unless the organisation may; a rule that denies may name anything", async (t) => {
  const config = { organisations: { lab: { quotas: { privateNetwork: true } } } };
  const { remote, runtime, organisations, machine, makeToken, url } = await openRemoteBench(t, { config });
  runtime.sandboxes = [sandboxInfo({ name: "web" })];
  for (const pattern of ["10.0.0.1", "127.0.0.1:22", "169.254.169.254", "192.168.0.0/16", "[fd00::1]"])
    await assert.rejects(
      remote.network.change("web", "allow", ["a.example", pattern]),
      /is not a public address/,
      pattern,
    );
  assert.ok(!runtime.calls.some(({ method }) => method === "network.change"));
  await remote.network.change("web", "deny", ["10.0.0.1"]);
  organisations.of("lab").sandboxes = [sandboxInfo({ name: "web" })];
  await using lab = await openRemoteRuntime({ endpoint: url, token: makeToken({ organisations: ["lab"] }), machine });
  await lab.network.change("web", "allow", ["10.0.0.1"]);
});

test("a log is filtered and counted here, and followed without a gap or a repetition", async (t) => {
  const { remote, runtime } = await openRemoteBench(t);
  runtime.sandboxes = [sandboxInfo({ name: "web" })];
  runtime.auditEvents = [event(1), event(2, "allow"), event(3), event(3), event(4, "allow"), event(5)];
  const { network } = remote;
  const filter = ({ verdict }: AuditEvent): boolean => verdict === "deny";
  assert.deepEqual(await collect(network.log("web")), [1, 2, 3, 3, 4, 5]);
  assert.deepEqual(await collect(network.log("web", { tail: 2 })), [4, 5]);
  assert.deepEqual(await collect(network.log("web", { filter })), [1, 3, 3, 5]);
  assert.deepEqual(await collect(network.log("web", { filter, tail: 2 })), [3, 5]);
  const followed = network.log("web", { filter, tail: 2, follow: true })[Symbol.asyncIterator]();
  const next = async (): Promise<number | undefined> => {
    const { value } = (await followed.next()) as IteratorResult<AuditEvent, undefined>;
    return value?.time;
  };
  assert.deepEqual([await next(), await next()], [3, 5]);
  runtime.auditEvents.push(event(5), event(6, "allow"), event(7));
  assert.deepEqual([await next(), await next()], [5, 7]);
  await followed.return?.();
});

test("lines of a log that cannot be read are counted", async (t) => {
  const { remote, runtime } = await openRemoteBench(t);
  runtime.sandboxes = [sandboxInfo({ name: "web" })];
  runtime.auditEvents = [event(1)];
  runtime.damagedLines = 3;
  const counts: number[] = [];
  assert.deepEqual(await collect(remote.network.log("web", { onDamaged: (count) => counts.push(count) })), [1]);
  assert.deepEqual(counts, [3]);
});
