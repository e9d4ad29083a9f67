/** Addresses that stand for names: one name each, never another's while somebody may still mean the first. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { isSynthetic, type NameHold, SyntheticNames } from "../../../src/egress/dns/synthetic-names.ts";
import { canonicalHost } from "../../../src/policy/host-name.ts";

const MINUTE = 60_000;

function openNames(maxNames?: number) {
  let clockMs = 0;
  const names = new SyntheticNames({ now: () => clockMs, ...(maxNames === undefined ? {} : { maxNames }) });
  return { names, pass: (ms: number) => (clockMs += ms) };
}

test("an address is found both ways, in its canonical form, and others are not", () => {
  const { names } = openNames();
  for (let at = 1; at <= 300; at++) names.assign(`h${at}.test`);
  const own = { ipv4: "198.18.1.45", ipv6: "fd73:6278:0:1::12d" };
  assert.deepEqual(names.assign("last.test"), own);
  for (const address of Object.values(own)) {
    assert.equal(canonicalHost(address), address);
    assert.equal(names.findName(address), "last.test");
    assert.ok(isSynthetic(address));
  }
  for (const address of [
    "198.18.1.46",
    "198.18.0.0",
    "198.19.0.1",
    "fd73:6278:0:1::",
    "fd73:6278::1",
    "10.0.0.1",
    "",
    "x",
  ]) {
    assert.equal(names.findName(address), undefined, address);
    assert.equal(names.hold(address), undefined, address);
  }
  assert.equal(isSynthetic("198.19.0.1"), false);
  assert.equal(isSynthetic("fd73:6278::1"), false);
});

test("an address goes to another name only when all are taken and nobody can remember it", () => {
  const { names, pass } = openNames(2);
  const first = names.assign("a.test");
  names.assign("b.test");
  pass(5 * MINUTE);
  assert.equal(names.assign("c.test"), null);
  names.assign("a.test");
  pass(7 * MINUTE);
  // b.test was asked for 12 minutes ago, a.test 7.
  assert.deepEqual(names.assign("c.test"), { ipv4: "198.18.0.2", ipv6: "fd73:6278:0:1::2" });
  assert.equal(names.assign("b.test"), null);
  assert.deepEqual(names.assign("a.test"), first);
  assert.equal(names.size, 2);
});

test("an address that a connection uses stays its name's, however long", () => {
  const { names, pass } = openNames(1);
  const ipv4 = names.assign("a.test")?.ipv4 ?? "";
  const [one, two] = [names.hold(ipv4), names.hold(ipv4)];
  assert.deepEqual([one?.name, two?.name], ["a.test", "a.test"]);
  pass(60 * MINUTE);
  one?.[Symbol.dispose]();
  one?.[Symbol.dispose]();
  assert.equal(names.assign("b.test"), null);
  two?.[Symbol.dispose]();
  assert.equal(names.assign("b.test")?.ipv4, ipv4);
  assert.equal(names.hold(ipv4)?.name, "b.test");
});

test("there is an address for thousands of names, and an end", () => {
  const { names } = openNames();
  const seen = new Set<string>();
  let assigned = 0;
  for (let at = 0; at < 40_000; at++) {
    const addresses = names.assign(`h${at}.test`);
    if (addresses === null) continue;
    assigned++;
    seen.add(addresses.ipv4).add(addresses.ipv6);
  }
  assert.equal(assigned, 32_768);
  assert.equal(seen.size, 2 * assigned);
});

test("whatever happens, no address changes its name while it is remembered or held", () => {
  const step = fc.oneof(
    fc.record({ kind: fc.constant("assign" as const), name: fc.nat(8) }),
    fc.record({ kind: fc.constant("hold" as const), name: fc.nat(8) }),
    fc.record({ kind: fc.constant("release" as const), at: fc.nat(20) }),
    fc.record({ kind: fc.constant("pass" as const), ms: fc.integer({ min: 1, max: 12 * MINUTE }) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
      const { names, pass } = openNames(4);
      let now = 0;
      /** When a guest last learnt the address, and what it stood for. */
      const told = new Map<string, { name: string; at: number }>();
      const holds: { hold: NameHold; address: string }[] = [];
      for (const action of steps) {
        if (action.kind === "pass") {
          pass(action.ms);
          now += action.ms;
        } else if (action.kind === "release") {
          holds.splice(action.at, 1)[0]?.hold[Symbol.dispose]();
        } else if (action.kind === "assign") {
          const address = names.assign(`n${action.name}`)?.ipv4;
          if (address !== undefined) told.set(address, { name: `n${action.name}`, at: now });
        } else {
          const [address] = [...told].find(([, { name }]) => name === `n${action.name}`) ?? [];
          const hold = address === undefined ? undefined : names.hold(address);
          if (address !== undefined && hold !== undefined) holds.push({ hold, address });
        }
        for (const { hold, address } of holds) assert.equal(names.findName(address), hold.name);
        for (const [address, { name, at }] of told) {
          if (now - at <= MINUTE) assert.equal(names.findName(address), name);
        }
        assert.ok(names.size <= 4);
      }
    }),
    { numRuns: 1000, seed: 6 },
  );
});

test("names that a guest knows already have the same addresses again, and are remembered for as long", () => {
  const { names } = openNames();
  for (let at = 1; at <= 300; at++) names.assign(`h${at}.test`);
  names.assign("h5.test");
  const again = new SyntheticNames({ now: () => 0, known: names.list() });
  for (let at = 1; at <= 300; at++) assert.deepEqual(again.assign(`h${at}.test`), names.assign(`h${at}.test`));
  assert.deepEqual(again.assign("new.test"), names.assign("new.test"));
  const full = new SyntheticNames({ now: () => 0, maxNames: 2, known: ["a.test", "b.test"] });
  assert.equal(full.assign("c.test"), null);
});
