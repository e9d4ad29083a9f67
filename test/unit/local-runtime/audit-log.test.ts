/** The audit log is shown whole and once; what is damaged in it is counted and hides nothing else. */
import assert from "node:assert/strict";
import { appendFileSync, linkSync, renameSync, writeFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { readAuditLog } from "../../../src/runtime/local/network/audit-log.ts";
import type { AuditLogOptions } from "../../../src/runtime/network.ts";
import { temporaryDirectory } from "../store/temporary-directory.ts";

function line(host: string, more: object = {}): string {
  return `${JSON.stringify({ time: 5, kind: "connection", verdict: "allow", host, ...more })}\n`;
}

async function read(directory: string, options: AuditLogOptions = {}): Promise<{ hosts: string[]; damaged: number }> {
  const result = { hosts: [] as string[], damaged: 0 };
  const onDamaged = (count: number): void => void (result.damaged += count);
  for await (const { host } of readAuditLog(directory, { ...options, isOver: () => true, onDamaged })) {
    result.hosts.push(host ?? "");
  }
  return result;
}

test("the rotated part comes first; a tail counts events over both", async (t) => {
  const directory = temporaryDirectory(t);
  writeFileSync(path.join(directory, "net.log.1"), line("a") + line("b"));
  writeFileSync(path.join(directory, "net.log"), line("c"));
  assert.deepEqual(await read(directory), { hosts: ["a", "b", "c"], damaged: 0 });
  assert.deepEqual(await read(directory, { tail: 2 }), { hosts: ["b", "c"], damaged: 0 });
  assert.deepEqual(await read(directory, { tail: 0 }), { hosts: [], damaged: 0 });
});

test("a sandbox that never used its network has no events", async () => {
  assert.deepEqual(await read("/nowhere/at/all"), { hosts: [], damaged: 0 });
});

test("a filter counts before the tail", async (t) => {
  const directory = temporaryDirectory(t);
  const denied = { verdict: "deny" };
  writeFileSync(path.join(directory, "net.log"), line("a", denied) + line("b") + line("c", denied) + line("d"));
  const filter: AuditLogOptions["filter"] = ({ verdict }) => verdict === "deny";
  assert.deepEqual((await read(directory, { filter, tail: 1 })).hosts, ["c"]);
});

test("damaged lines are left out and counted", async (t) => {
  const directory = temporaryDirectory(t);
  const damaged = [
    "not JSON",
    "{}",
    "[]",
    "null",
    `{"time":1,"kind":"connection"`,
    `{"time":"1","kind":"dns","verdict":"allow"}`,
    `{"time":1,"kind":"unheard","verdict":"allow"}`,
    `{"time":1,"kind":"dns","verdict":"perhaps"}`,
    `{"time":1,"kind":"dns","verdict":"deny","fix":"rm -rf /"}`,
    `{"time":1,"kind":"dns","verdict":"deny","host":"${"x".repeat(17_000)}"}`,
    "\0".repeat(100),
  ];
  writeFileSync(
    path.join(directory, "net.log"),
    `${line("a")}${damaged.join("\n")}\n${line("b")}${line("c").slice(0, 20)}`,
  );
  assert.deepEqual(await read(directory), { hosts: ["a", "b"], damaged: damaged.length + 1 });
});

test("everything that an event may have comes through, and nothing else does", async (t) => {
  const directory = temporaryDirectory(t);
  const event = {
    ...{ time: 5, kind: "request", verdict: "deny", flow: 3, host: "h", port: 443, address: "192.0.2.1" },
    ...{ method: "GET", url: "https://h/?q", status: 403, via: "intercept", secrets: ["A"], ms: 12 },
    ...{ sentBytes: 1, receivedBytes: 2, error: "e", reason: "why", fix: ["net", "allow", "SANDBOX", "h"] },
    rule: { id: "r1", text: "deny h", source: { kind: "file", path: "p.yaml", line: 3 } },
  };
  writeFileSync(path.join(directory, "net.log"), `${JSON.stringify({ ...event, body: "never" })}\n`);
  const events = [];
  for await (const found of readAuditLog(directory, { isOver: () => true })) events.push(found);
  assert.deepEqual(events, [event]);
});

test("following shows each event once, in pieces and across a rotation", async (t) => {
  const directory = temporaryDirectory(t);
  const file = path.join(directory, "net.log");
  writeFileSync(file, line("a") + line("b").slice(0, 10));
  let over = false;
  const steps: Record<string, () => void> = {
    a: () => appendFileSync(file, line("b").slice(10)),
    b: () => {
      appendFileSync(file, line("c"));
      renameSync(file, `${file}.1`);
      writeFileSync(file, line("d"));
    },
    d: () => (over = true),
  };
  const hosts: string[] = [];
  for await (const { host = "" } of readAuditLog(directory, { follow: true, isOver: () => over })) {
    hosts.push(host);
    steps[host]?.();
  }
  assert.deepEqual(hosts, ["a", "b", "c", "d"]);
});

test("a file that is rotated after it was opened is not read twice", async (t) => {
  const directory = temporaryDirectory(t);
  const file = path.join(directory, "net.log");
  writeFileSync(file, line("a"));
  // As the reader would find it: what it has open goes by the other name.
  linkSync(file, `${file}.1`);
  assert.deepEqual((await read(directory)).hosts, ["a"]);
});

test("following ends with the signal", async (t) => {
  const directory = temporaryDirectory(t);
  writeFileSync(path.join(directory, "net.log"), line("a"));
  const abort = new AbortController();
  const hosts: string[] = [];
  const options = { follow: true, signal: abort.signal, isOver: () => false };
  for await (const { host = "" } of readAuditLog(directory, options)) {
    hosts.push(host);
    abort.abort();
  }
  assert.deepEqual(hosts, ["a"]);
});
