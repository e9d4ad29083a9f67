/**
 * Any history of volumes and snapshots: after each step records and files fit, nothing is left over, and every disk that
 * is there can be used. A model says which names there must be.
 */
import fc from "fast-check";
import { test, type TestContext } from "node:test";
import assert from "node:assert/strict";
import { SbxError } from "../../../src/runtime/errors.ts";
import { inconsistencies, MiB, newDisks, openDisks, type DiskHome } from "./disk-home.ts";

/** Few, so that they meet. */
const NAMES: readonly string[] = ["aa", "bb", "cc"];
const DAY_MS = 24 * 60 * 60 * 1000;

type Step =
  | { do: "create"; name: string }
  | { do: "create-from"; name: string; from: string }
  | { do: "snapshot"; name: string; of: string }
  | { do: "remove-volume"; name: string }
  | { do: "restore"; name: string }
  | { do: "remove-snapshot"; name: string }
  | { do: "grow"; name: string }
  /** A day passes, and another command begins. */
  | { do: "day" };

/** A step before it is known what there is to do it to. */
interface Intention {
  kind: Step["do"];
  /** Which of those it can be done to; of all names where that is more than they are. */
  pick: number;
  other: number;
}

const intention: fc.Arbitrary<Intention> = fc.record({
  kind: fc.constantFrom(
    ...(["create", "create-from", "snapshot", "snapshot", "remove-volume", "remove-volume"] as const),
    ...(["restore", "remove-snapshot", "remove-snapshot", "grow", "day"] as const),
  ),
  pick: fc.nat(3),
  other: fc.nat(3),
});

const SNAPSHOT_NAMES = NAMES.map((name) => `s-${name}`);

/** Mostly something that is possible, and now and then something that is not. */
function toStep({ kind, pick, other }: Intention, model: Model): Step {
  const choose = (fitting: Iterable<string>, all: readonly string[], index: number): string =>
    [...fitting][index] ?? all[index % all.length] ?? "";
  const free = (names: readonly string[], taken: ReadonlyMap<string, unknown>): string[] =>
    names.filter((name) => !taken.has(name));
  const { volumes, snapshots, removed } = model;
  switch (kind) {
    case "create":
      return { do: kind, name: choose(free(NAMES, volumes), NAMES, pick) };
    case "create-from":
      return {
        do: kind,
        name: choose(free(NAMES, volumes), NAMES, pick),
        from: choose(snapshots.keys(), SNAPSHOT_NAMES, other),
      };
    case "snapshot":
      return {
        do: kind,
        name: choose(free(SNAPSHOT_NAMES, snapshots), SNAPSHOT_NAMES, pick),
        of: choose(volumes.keys(), NAMES, other),
      };
    case "remove-volume":
    case "grow":
      return { do: kind, name: choose(volumes.keys(), NAMES, pick) };
    case "restore":
      return { do: kind, name: choose(removed, NAMES, pick) };
    case "remove-snapshot":
      return { do: kind, name: choose(snapshots.keys(), SNAPSHOT_NAMES, pick) };
    case "day":
      return { do: kind };
  }
}

/** What there must be, by name. */
interface Model {
  /** Volumes with the snapshot that each was made from. */
  volumes: Map<string, string | null>;
  /** Snapshots with what their volume was made from. */
  snapshots: Map<string, string | null>;
  removed: Set<string>;
}

async function take(home: DiskHome, model: Model, { ...taken }: Step): Promise<void> {
  switch (taken.do) {
    case "create": {
      const isFree = !model.volumes.has(taken.name);
      await expect(isFree, home.volumes.create({ slug: taken.name, capacityBytes: 16 * MiB }));
      if (isFree) model.volumes.set(taken.name, null);
      return;
    }
    case "create-from": {
      const isPossible = !model.volumes.has(taken.name) && model.snapshots.has(taken.from);
      await expect(isPossible, home.volumes.create({ slug: taken.name, from: taken.from }));
      if (isPossible) model.volumes.set(taken.name, taken.from);
      return;
    }
    case "snapshot": {
      const base = model.volumes.get(taken.of);
      const isPossible = base !== undefined && !model.snapshots.has(taken.name);
      await expect(isPossible, home.volumes.snapshot(taken.of, taken.name));
      if (isPossible) model.snapshots.set(taken.name, base);
      return;
    }
    case "remove-volume":
      await expect(model.volumes.has(taken.name), home.volumes.remove(taken.name));
      if (model.volumes.delete(taken.name)) model.removed.add(taken.name);
      return;
    case "restore":
      await restore(home, model, taken.name);
      return;
    case "remove-snapshot": {
      const users = [...model.volumes.values(), ...model.snapshots.values()];
      const isPossible = model.snapshots.has(taken.name) && !users.includes(taken.name);
      await expect(isPossible, home.snapshots.remove(taken.name));
      if (isPossible) model.snapshots.delete(taken.name);
      return;
    }
    case "grow": {
      const size = (await home.volumes.list()).find(({ slug }) => slug === taken.name)?.capacityBytes ?? 0;
      await expect(model.volumes.has(taken.name), home.volumes.resize(taken.name, size + 512 * 1024));
      return;
    }
    case "day": {
      home.state.database.prepare("UPDATE volumes SET removed_at = removed_at - ?").run(DAY_MS + 1);
      using _next = await openDisks(home.path);
      model.removed.clear();
    }
  }
}

/** Of several that were removed under one name the newest is meant; a base that is gone meanwhile is forgotten. */
async function restore(home: DiskHome, model: Model, name: string): Promise<void> {
  const [newest] = (await home.volumes.list({ removed: true })).filter(({ slug }) => slug === name);
  assert.equal(newest !== undefined, model.removed.has(name));
  const isPossible = newest !== undefined && !model.volumes.has(name);
  await expect(isPossible, home.volumes.restore(newest?.id ?? name));
  if (!isPossible) return;
  model.volumes.set(name, newest.baseSnapshot?.slug ?? null);
  if (!(await home.volumes.list({ removed: true })).some(({ slug }) => slug === name)) model.removed.delete(name);
}

async function expect(isPossible: boolean, work: Promise<unknown>): Promise<void> {
  const error: unknown = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (isPossible) assert.equal(error, undefined);
  else assert.ok(error instanceof SbxError && error.code !== "internal", `no refusal: ${String(error)}`);
}

async function check(home: DiskHome, model: Model): Promise<void> {
  assert.deepEqual(await inconsistencies(home), []);
  const volumes = await home.volumes.list();
  const snapshots = await home.snapshots.list();
  assert.deepEqual(volumes.map(({ slug }) => slug).sort(), [...model.volumes.keys()].sort());
  assert.deepEqual(snapshots.map(({ slug }) => slug).sort(), [...model.snapshots.keys()].sort());
  assert.deepEqual(new Set((await home.volumes.list({ removed: true })).map(({ slug }) => slug)), model.removed);
  for (const { slug, faults } of [...volumes, ...snapshots]) assert.deepEqual(faults, [], slug);
  // Nothing is counted twice, and nothing is left out.
  if (model.removed.size === 0 && volumes.length + snapshots.length === 0) assert.deepEqual(home.files(), []);
}

async function runHistory(t: TestContext, intentions: readonly Intention[]): Promise<void> {
  const home = await newDisks(t);
  const model: Model = { volumes: new Map(), snapshots: new Map(), removed: new Set() };
  for (const intended of intentions) {
    await take(home, model, toStep(intended, model));
    await check(home, model);
  }
  using next = await openDisks(home.path);
  await check(next, model);
}

test("whatever is done with volumes and snapshots, in whatever order, records and files fit", async (t) => {
  const histories = fc.array(intention, { minLength: 10, maxLength: 40, size: "max" });
  await fc.assert(
    fc.asyncProperty(histories, async (steps) => runHistory(t, steps)),
    { numRuns: 30, seed: 20261127 },
  );
});
