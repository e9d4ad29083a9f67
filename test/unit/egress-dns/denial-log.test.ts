/** The audit of refused names: each is there once in a while, and a guest that asks in a loop fills nothing. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { AuditEvent } from "../../../src/egress/audit-event.ts";
import { DenialLog } from "../../../src/egress/dns/denial-log.ts";

const DECISION = { rule: null, reason: "no rule allows it", fix: null };

function openLog() {
  let clockMs = 0;
  const events: AuditEvent[] = [];
  const log = new DenialLog(
    (event) => events.push(event),
    () => clockMs,
  );
  return { log, events, pass: (ms: number) => (clockMs += ms) };
}

test("a name that is asked for again and again is reported once a minute", () => {
  const { log, events, pass } = openLog();
  for (let second = 0; second < 150; second++) {
    for (let times = 0; times < 100; times++) log.report("a.test", DECISION);
    pass(1000);
  }
  assert.deepEqual(
    events.map(({ host }) => host),
    ["a.test", "a.test", "a.test"],
  );
});

test("ever new names are reported at a bounded rate, and the others are counted", () => {
  const { log, events, pass } = openLog();
  for (let at = 0; at < 100_000; at++) log.report(`h${at}.test`, DECISION);
  assert.equal(events.length, 50);
  pass(2500);
  for (let at = 0; at < 10; at++) log.report(`x${at}.test`, DECISION);
  assert.deepEqual(
    events.slice(50).map(({ host, reason }) => host ?? reason),
    ["99950 more lookups were refused", "x0.test", "x1.test"],
  );
  log.flush();
  log.flush();
  assert.equal(events.at(-1)?.reason, "8 more lookups were refused");
  assert.equal(events.length, 54);
});

test("after a quiet time there is room for as many as at first, and no more", () => {
  const { log, events, pass } = openLog();
  pass(3_600_000);
  for (let at = 0; at < 1000; at++) log.report(`h${at}.test`, DECISION);
  assert.equal(events.length, 50);
});

test("a name that was reported long ago may be forgotten and reported anew", () => {
  const { log, events, pass } = openLog();
  log.report("first.test", DECISION);
  for (let at = 0; at < 1100; at++) {
    pass(1000);
    log.report(`h${at}.test`, DECISION);
  }
  log.report("h1099.test", DECISION);
  assert.equal(events.length, 1101);
});
