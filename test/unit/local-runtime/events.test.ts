/** Following events: each once and in order for every follower, also of what nobody could say himself. */
import assert from "node:assert/strict";
import { renameSync, rmSync } from "node:fs";
import path from "node:path";
import { test, type TestContext } from "node:test";
import { ownIdentity } from "../../../src/host/process-identity.ts";
import { SbxError } from "../../../src/runtime/errors.ts";
import { openState, type LocalState } from "../../../src/runtime/local/state.ts";
import { readEvents } from "../../../src/runtime/local/watch/local-events.ts";
import { noteEvents } from "../../../src/runtime/local/watch/note-events.ts";
import type { EventOptions, EventRecord } from "../../../src/runtime/watching.ts";
import { openDatabase } from "../../../src/store/database.ts";
import { EventStore } from "../../../src/store/events/event-store.ts";
import { SandboxStore } from "../../../src/store/sandbox-store.ts";
import { sampleSandbox } from "../store/sample-sandbox.ts";
import { temporaryDirectory } from "../store/temporary-directory.ts";

async function open(t: TestContext): Promise<LocalState> {
  const state = await openState({ SBX_HOME: path.join(temporaryDirectory(t), "home") });
  t.after(() => state[Symbol.dispose]());
  return state;
}

async function read(state: LocalState, options: EventOptions = {}): Promise<EventRecord[]> {
  const found: EventRecord[] = [];
  for await (const event of readEvents(state, options)) found.push(event);
  return found;
}

/** Follows until the test ends it. */
function follow(state: LocalState, options: EventOptions = {}) {
  const abort = new AbortController();
  const seen: EventRecord[] = [];
  let notify = (): void => undefined;
  const ended = (async () => {
    for await (const event of readEvents(state, { follow: true, signal: abort.signal, ...options })) {
      seen.push(event);
      notify();
    }
  })();
  const until = async (count: number): Promise<void> => {
    while (seen.length < count) await new Promise<void>((resolve) => (notify = resolve));
  };
  const end = async (): Promise<void> => {
    abort.abort();
    await ended;
  };
  return { seen, until, end };
}

/** A moment for a follower to have begun. */
const begun = async (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 20));

function store(state: LocalState, names: readonly string[]): void {
  for (const name of names) noteEvents(state, [{ type: "secret.stored", subject: { id: name, name } }]);
}

const names = (events: readonly EventRecord[]): (string | undefined)[] => events.map(({ subject }) => subject?.name);

test("what is asked for comes in order: the last ones, those behind a number, of a type", async (t) => {
  const state = await open(t);
  store(state, ["a", "b", "c"]);
  assert.deepEqual(names(await read(state)), ["a", "b", "c"]);
  assert.deepEqual(names(await read(state, { tail: 2 })), ["b", "c"]);
  assert.deepEqual(names(await read(state, { tail: 0 })), []);
  const [first] = await read(state);
  assert.deepEqual(names(await read(state, { after: first?.seq ?? 0 })), ["b", "c"]);
  assert.deepEqual(await read(state, { types: ["sandbox.running"] }), []);
});

test("more events than fit a page all come", async (t) => {
  const state = await open(t);
  const many = Array.from({ length: 1234 }, (_, index) => ({ type: "secret.stored" as const, detail: { index } }));
  noteEvents(state, many);
  assert.deepEqual(
    (await read(state)).map(({ detail }) => detail.index),
    many.map(({ detail }) => detail.index),
  );
});

test("a sandbox is found by name, also when it is forgotten; an unknown one is an error", async (t) => {
  const state = await open(t);
  const row = sampleSandbox({ name: "web" });
  state.store.insert(row);
  state.store.transition(row.id, "failed", { reason: "start_failed" });
  store(state, ["unrelated"]);
  const types = ["sandbox.created", "sandbox.failed"];
  assert.deepEqual(
    (await read(state, { sandbox: "web" })).map(({ type }) => type),
    types,
  );
  state.store.forget(row.id);
  assert.deepEqual(
    (await read(state, { sandbox: "web" })).map(({ type }) => type),
    types,
  );
  await assert.rejects(
    read(state, { sandbox: "nobody" }),
    (error) => error instanceof SbxError && error.code === "sandbox_not_found",
  );
});

test("followers see what happens from then on, each event once, from whichever process it comes", async (t) => {
  const state = await open(t);
  store(state, ["before"]);
  const followers = [follow(state), follow(state), follow(state, { after: 0 })];
  await begun();
  const elsewhere = openDatabase(state.paths.databasePath);
  t.after(() => elsewhere.close());
  store(state, ["one"]);
  new EventStore(elsewhere).append([{ time: Date.now(), type: "secret.stored", subject: { id: "two", name: "two" } }]);
  store(state, ["three"]);
  await Promise.all(followers.map(async ({ until }, index) => until(index === 2 ? 4 : 3)));
  for (const { end } of followers) await end();
  const [first, second, third] = followers.map(({ seen }) => names(seen));
  assert.deepEqual(first, ["one", "two", "three"]);
  assert.deepEqual(second, first);
  assert.deepEqual(third, ["before", "one", "two", "three"]);
});

test("a follower reports the death of a supervisor that nobody else looks at", async (t) => {
  const state = await open(t);
  const row = sampleSandbox({ name: "web" });
  const follower = follow(state);
  await begun();
  const elsewhere = openDatabase(state.paths.databasePath);
  t.after(() => elsewhere.close());
  const sandboxes = new SandboxStore(elsewhere);
  sandboxes.insert(row);
  const supervisor = { ...ownIdentity(), startTicks: "1" };
  sandboxes.transition(row.id, "running", { supervisor });
  await follower.until(3);
  await follower.end();
  assert.deepEqual(
    follower.seen.map(({ type }) => type),
    ["sandbox.created", "sandbox.running", "sandbox.stopped"],
  );
  assert.deepEqual(follower.seen[2]?.detail, { reason: "crashed", detail: "its supervisor was ended" });
});

test("a follower goes on in the database that takes the place of a damaged one", async (t) => {
  const state = await open(t);
  store(state, ["old"]);
  const follower = follow(state);
  await begun();
  const file = state.paths.databasePath;
  for (const suffix of ["-wal", "-shm"]) rmSync(file + suffix, { force: true });
  renameSync(file, `${file}.damaged-1`);
  const fresh = openDatabase(file);
  t.after(() => fresh.close());
  new EventStore(fresh).append([{ time: Date.now(), type: "secret.stored", subject: { id: "new", name: "new" } }]);
  await follower.until(1);
  assert.deepEqual(names(follower.seen), ["new"]);
  // Also with its look at who has died.
  const row = sampleSandbox({ name: "web" });
  const sandboxes = new SandboxStore(fresh);
  sandboxes.insert(row);
  sandboxes.transition(row.id, "running", { supervisor: { ...ownIdentity(), startTicks: "1" } });
  await follower.until(4);
  await follower.end();
  assert.equal(follower.seen.at(-1)?.type, "sandbox.stopped");
});

test("following ends at a moment that was given", async (t) => {
  const state = await open(t);
  store(state, ["a"]);
  assert.deepEqual(names(await read(state, { follow: true, after: 0, until: Date.now() + 1 })), ["a"]);
});
