/** The audit log, its counters and the latest denials: nothing the guest chooses makes them grow without bounds. */
import { test, type TestContext } from "node:test";
import assert from "node:assert/strict";
import { existsSync, readFileSync, rmSync, statSync } from "node:fs";
import path from "node:path";
import {
  AUDIT_LOG_NAME,
  MAX_AUDIT_LINE_BYTES,
  parseAuditLine,
  type AuditEvent,
} from "../../../src/protocol/audit-event.ts";
import { AuditTrail } from "../../../src/supervisor/network/audit-trail.ts";
import { temporaryDirectory } from "../store/temporary-directory.ts";

const ALLOWED: AuditEvent = { time: 1, kind: "request", verdict: "allow", host: "a.example", port: 443, sentBytes: 5 };
const DENIED: AuditEvent = { time: 2, kind: "connection", verdict: "deny", host: "b.example", port: 443, reason: "no" };

function open(t: TestContext): { trail: AuditTrail; file: string; lines: () => (AuditEvent | undefined)[] } {
  const directory = temporaryDirectory(t);
  const file = path.join(directory, AUDIT_LOG_NAME);
  const trail = new AuditTrail(directory);
  t.after(() => trail[Symbol.dispose]());
  return {
    ...{ trail, file },
    lines: () =>
      readFileSync(file, "utf8")
        .trimEnd()
        .split("\n")
        .map((line) => parseAuditLine(line)),
  };
}

test("every event is a line of its own, in their order, for its user alone", (t) => {
  const { trail, file, lines } = open(t);
  assert.ok(!existsSync(file), "there is no file before the first event");
  trail.record(ALLOWED);
  trail.record(DENIED);
  trail.flush();
  assert.deepEqual(lines(), [ALLOWED, DENIED]);
  assert.equal(statSync(file).mode & 0o777, 0o600);
});

test("what waits is written at the end, and nothing after it", (t) => {
  const { trail, lines } = open(t);
  trail.record(ALLOWED);
  trail[Symbol.dispose]();
  trail.record(DENIED);
  trail.flush();
  assert.deepEqual(lines(), [ALLOWED]);
});

test("texts are cut so that readers take every line", (t) => {
  const { trail, file, lines } = open(t);
  const long = "\u0001".repeat(100_000);
  trail.record({ ...DENIED, host: long, url: long, reason: long, error: long });
  trail.record({ ...DENIED, fix: Array.from({ length: 1000 }, () => long) });
  trail.flush();
  for (const line of readFileSync(file, "utf8").trimEnd().split("\n")) {
    assert.ok(Buffer.byteLength(line) < MAX_AUDIT_LINE_BYTES);
  }
  assert.equal(lines().length, 2);
  assert.ok(lines().every((event) => event?.verdict === "deny"));
});

test("counters tell what was allowed, denied and leaked", (t) => {
  const { trail } = open(t);
  trail.record(ALLOWED);
  trail.record({ ...ALLOWED, receivedBytes: 7 });
  trail.record(DENIED);
  trail.record({ time: 3, kind: "leak", verdict: "deny", host: "c.example" });
  trail.record({ time: 4, kind: "dropped", verdict: "deny", reason: "3 packets" });
  trail.record({ time: 5, kind: "change", verdict: "allow" });
  assert.deepEqual(trail.counters, {
    ...{ connections: 1, requests: 2, denied: 2, leaks: 1 },
    ...{ sentBytes: 10, receivedBytes: 7 },
  });
});

test("denials are remembered by their target, the latest last, and only so many", (t) => {
  const { trail } = open(t);
  for (let index = 0; index < 1000; index += 1) trail.record({ ...DENIED, host: `h${index}.example` });
  trail.record({ ...DENIED, host: "h990.example", fix: ["net", "allow"] });
  assert.equal(trail.denied.length, 32);
  const last = { host: "h990.example", port: 443, count: 2, reason: "no", fix: ["net", "allow"] };
  assert.deepEqual(trail.denied.at(-1), last);
});

test("a log that cannot be written costs nothing but the log", (t) => {
  const { trail, file } = open(t);
  rmSync(path.dirname(file), { recursive: true });
  trail.record(DENIED);
  trail.flush();
  assert.equal(trail.counters.denied, 1);
});
