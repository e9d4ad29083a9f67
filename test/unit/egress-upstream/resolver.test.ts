/** Looking names up: bounded, with a deadline, and each name once at a time. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Resolver } from "../../../src/egress/upstream/resolver.ts";
import { failureOf, NEVER } from "./servers.ts";

interface Pending {
  name: string;
  answer: (addresses: string[]) => void;
  fail: (error: Error) => void;
}

function manualLookup() {
  const pending: Pending[] = [];
  const lookup = (name: string) =>
    new Promise<string[]>((answer, fail) => {
      pending.push({ name, answer, fail });
    });
  return { pending, lookup };
}

const tick = () => new Promise((resolve) => setImmediate(resolve));

test("lookups of one name at one time are one, and the next one is anew", async () => {
  const { pending, lookup } = manualLookup();
  const resolver = new Resolver(lookup, 60_000);
  const both = [resolver.resolve("a.example", NEVER), resolver.resolve("a.example", NEVER)];
  await tick();
  assert.equal(pending.length, 1);
  pending[0]?.answer(["192.0.2.1", "192.0.2.1", "192.0.2.2"]);
  for (const result of await Promise.all(both)) assert.deepEqual(result, ["192.0.2.1", "192.0.2.2"]);
  void resolver.resolve("a.example", NEVER);
  await tick();
  assert.equal(pending.length, 2);
  pending[1]?.answer(["192.0.2.1"]);
});

test("four names at a time are looked up, the others wait for their turn", async () => {
  const { pending, lookup } = manualLookup();
  const resolver = new Resolver(lookup, 60_000);
  const results = Array.from({ length: 10 }, (_, at) => resolver.resolve(`n${at}.example`, NEVER));
  for (let done = 0; done < 10; done++) {
    await tick();
    assert.equal(pending.length, Math.min(10, done + 4));
    pending[done]?.answer([`192.0.2.${done}`]);
  }
  assert.deepEqual((await Promise.all(results)).flat().length, 10);
});

test("names beyond the queue are refused at once", async () => {
  const { pending, lookup } = manualLookup();
  const resolver = new Resolver(lookup, 60_000);
  const controller = new AbortController();
  const waiting = Array.from({ length: 516 }, (_, at) =>
    failureOf(resolver.resolve(`n${at}.example`, controller.signal)),
  );
  const error = await failureOf(resolver.resolve("late.example", NEVER));
  assert.match(error.message, /^late\.example was not looked up: too many names are waiting$/);
  controller.abort();
  for (const failure of await Promise.all(waiting)) assert.equal(failure.code, "aborted");
  for (let at = 0; at < 516; at++) {
    pending[at]?.answer([]);
    await tick();
  }
  assert.equal(pending.length, 516);
});

test("who waits too long for a lookup that hangs is told, and a later answer changes nothing", async () => {
  const { pending, lookup } = manualLookup();
  const resolver = new Resolver(lookup, 20);
  const error = await failureOf(resolver.resolve("a.example", NEVER));
  assert.deepEqual([error.code, error.message], ["timeout", "looking up a.example took more than 0.02 s"]);
  pending[0]?.answer(["192.0.2.1"]);
  await tick();
});

test("a lookup that hangs keeps its place, so that there are never more than four", async () => {
  const { pending, lookup } = manualLookup();
  const resolver = new Resolver(lookup, 10);
  await Promise.all(Array.from({ length: 4 }, (_, at) => failureOf(resolver.resolve(`n${at}.example`, NEVER))));
  await failureOf(resolver.resolve("fifth.example", NEVER));
  assert.equal(pending.length, 4);
  for (const { fail } of pending) fail(new Error("late"));
  await tick();
  assert.equal(pending.length, 5);
  pending[4]?.answer([]);
});

for (const [code, message] of [
  ["ENOTFOUND", "a.example has no address"],
  ["EAI_AGAIN", "a.example was not looked up: the name servers do not answer"],
  ["EAI_FAIL", "a.example was not looked up: EAI_FAIL"],
] as const) {
  test(`${code} is told in words`, async () => {
    const lookup = () => Promise.reject(Object.assign(new Error(code), { code }));
    const error = await failureOf(new Resolver(lookup, 1000).resolve("a.example", NEVER));
    assert.deepEqual([error.code, error.message], ["unresolved", message]);
  });
}

test("a name without an address is unresolved", async () => {
  const error = await failureOf(new Resolver(async () => [], 1000).resolve("a.example", NEVER));
  assert.deepEqual([error.code, error.message], ["unresolved", "a.example has no address"]);
});
