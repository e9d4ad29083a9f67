/** From a copy to a sync, over the real protocol and the real agent; the sandbox is a directory of this machine. */
import assert from "node:assert/strict";
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import path from "node:path";
import { test, type TestContext } from "node:test";
import type { Comparison } from "../../../src/runtime/folders.ts";
import { openComparison } from "../../../src/runtime/local/folders/comparison.ts";
import { makeInitialCopies } from "../../../src/runtime/local/folders/initial-copies.ts";
import type { Sandbox } from "../../../src/runtime/runtime.ts";
import { RpcSandbox } from "../../../src/runtime/sandbox/rpc-sandbox.ts";
import type { SandboxRow } from "../../../src/store/sandbox-store.ts";
import { openRealSandbox } from "../copy/real-sandbox.ts";
import { temporaryDirectory } from "../store/temporary-directory.ts";

interface World {
  host: string;
  guest: string;
  row: SandboxRow;
  /** Outside of the host's directory. */
  outside: string;
  compare: (intercept?: Partial<Sandbox>) => Promise<Comparison>;
  notices: string[];
}

async function open(t: TestContext): Promise<World> {
  const { client, home, sandbox } = await openRealSandbox(t);
  const base = temporaryDirectory(t);
  const [host, outside, directory] = ["host", "outside", "state"].map((name) => path.join(base, name)) as [
    string,
    string,
    string,
  ];
  const guest = path.join(home, "copy");
  for (const made of [path.join(host, "sub"), outside, directory, guest]) mkdirSync(made, { recursive: true });
  for (const name of ["one", "two", "sub/three"]) writeFileSync(path.join(host, name), `${name}\n`);
  writeFileSync(path.join(outside, "file"), "outside\n");
  const row = { id: sandbox.id, name: "web", directory } as SandboxRow;
  const notices: string[] = [];
  const plan = { hostPath: host, guestPath: guest, guestParent: home, isDirectory: true };
  await makeInitialCopies(sandbox, [plan], directory, { onNotice: (text) => notices.push(text) });
  const compare = (intercept: Partial<Sandbox> = {}): Promise<Comparison> =>
    openComparison(row, {
      connect: async () => Object.assign(new RpcSandbox({ client, info: sandbox.info }), keepOpen, intercept),
      onStaging: () => ({ [Symbol.dispose]: () => undefined }),
    });
  return { host, guest, row, outside, compare, notices };
}

/** The connection is the test's, and serves several comparisons. */
const keepOpen = { [Symbol.asyncDispose]: async () => undefined };

const apply = { remove: false, force: false };
const short = ({ changes }: Comparison): string[] => changes.map(({ kind, path: name }) => `${kind} ${name}`);

/** Nothing of a comparison is left in the sandbox's directory. */
function assertClean({ row, host }: World): void {
  assert.deepEqual(readdirSync(row.directory), ["copies"]);
  assert.deepEqual(
    readdirSync(host).filter((name) => name.startsWith(".sbx")),
    [],
  );
}

test("what changed in the sandbox comes over, and a second comparison finds nothing", async (t) => {
  const world = await open(t);
  const { host, guest, compare } = world;
  writeFileSync(path.join(guest, "one"), "changed\n");
  mkdirSync(path.join(guest, "new", "deep"), { recursive: true });
  writeFileSync(path.join(guest, "new", "deep", "a\nb"), "x");
  chmodSync(path.join(guest, "new", "deep", "a\nb"), 0o4755);
  symlinkSync("one", path.join(guest, "link"));
  rmSync(path.join(guest, "two"));
  {
    await using comparison = await compare();
    assert.deepEqual(
      short(comparison),
      ["changed one", "added link", "added new/deep/a\nb", "removed two"].sort(byPath),
    );
    const [changed] = comparison.changes.filter(({ kind }) => kind === "changed");
    assert.ok(changed !== undefined);
    assert.deepEqual(await comparison.texts(changed), { before: "one\n", after: "changed\n", reason: null });
    assert.deepEqual(await comparison.apply(apply), { written: 3, removed: 0, skipped: [] });
  }
  assert.equal(readFileSync(path.join(host, "one"), "utf8"), "changed\n");
  assert.equal(readlinkSync(path.join(host, "link")), "one");
  assert.equal(lstatSync(path.join(host, "new", "deep", "a\nb")).mode & 0o7777, 0o755);
  assert.equal(existsSync(path.join(host, "two")), true, "what was removed stays until that is asked for");
  {
    await using comparison = await compare();
    assert.deepEqual(short(comparison), ["removed two"]);
    assert.deepEqual(await comparison.apply({ remove: true, force: false }), { written: 0, removed: 1, skipped: [] });
  }
  await using comparison = await compare();
  assert.deepEqual(short(comparison), []);
  assert.equal(existsSync(path.join(host, "two")), false);
  await comparison[Symbol.asyncDispose]();
  assertClean(world);
});

const byPath = (a: string, b: string): number => ((a.split(" ")[1] ?? "") < (b.split(" ")[1] ?? "") ? -1 : 1);

test("what comes into a new directory after it was listed is not brought: nobody was shown it", async (t) => {
  const { guest, host, compare } = await open(t);
  mkdirSync(path.join(guest, "new"));
  writeFileSync(path.join(guest, "new", "shown"), "x");
  await using comparison = await compare({
    async download(this: RpcSandbox, ...args) {
      writeFileSync(path.join(guest, "new", "late"), "late");
      return RpcSandbox.prototype.download.apply(this, args);
    },
  });
  assert.deepEqual(short(comparison), ["added new/shown"]);
  await comparison.apply(apply);
  assert.deepEqual(readdirSync(path.join(host, "new")), ["shown"]);
});

test("a file whose content is fetched although it only looks changed overwrites nothing", async (t) => {
  const { guest, host, compare } = await open(t);
  writeFileSync(path.join(guest, "one"), "one\n");
  writeFileSync(path.join(guest, "two"), "guest\n");
  writeFileSync(path.join(host, "one"), "changed here\n");
  await using comparison = await compare();
  assert.deepEqual(short(comparison), ["changed two"]);
  await comparison.apply(apply);
  assert.equal(readFileSync(path.join(host, "one"), "utf8"), "changed here\n");
});

test("a host's file that changes between the look and the yes is a conflict, and nothing comes over", async (t) => {
  const world = await open(t);
  const { guest, host, compare } = world;
  for (const name of ["one", "two"]) writeFileSync(path.join(guest, name), "guest\n");
  {
    await using comparison = await compare();
    assert.ok(comparison.changes.every(({ conflict }) => !conflict));
    writeFileSync(path.join(host, "two"), "meanwhile\n");
    await assert.rejects(comparison.apply(apply), { code: "sync_conflict" });
    assert.equal(readFileSync(path.join(host, "one"), "utf8"), "one\n");
    assert.equal(readFileSync(path.join(host, "two"), "utf8"), "meanwhile\n");
    await comparison.apply({ remove: false, force: true });
    assert.equal(readFileSync(path.join(host, "two"), "utf8"), "guest\n");
  }
  assertClean(world);
});

test("a link that an earlier sync brought is not followed, on looking or on writing or on removing", async (t) => {
  const { guest, host, outside, compare } = await open(t);
  symlinkSync(outside, path.join(guest, "out"));
  {
    await using comparison = await compare();
    await comparison.apply(apply);
  }
  assert.equal(readlinkSync(path.join(host, "out")), outside);
  rmSync(path.join(guest, "out"));
  mkdirSync(path.join(guest, "out"));
  writeFileSync(path.join(guest, "out", "file"), "guest\n");
  await using comparison = await compare();
  assert.deepEqual(short(comparison), []);
  assert.ok(comparison.skipped.some(({ path: name }) => name === "out/file"));
  await comparison.apply({ remove: true, force: true });
  assert.equal(readFileSync(path.join(outside, "file"), "utf8"), "outside\n");
  assert.equal(readlinkSync(path.join(host, "out")), outside);
});

test("a directory of the host that became a link meanwhile is not written through", async (t) => {
  const { guest, host, outside, compare } = await open(t);
  writeFileSync(path.join(guest, "sub", "three"), "guest\n");
  writeFileSync(path.join(outside, "three"), "outside\n");
  await using comparison = await compare();
  renameSync(path.join(host, "sub"), path.join(host, "aside"));
  symlinkSync(outside, path.join(host, "sub"));
  await assert.rejects(comparison.apply({ remove: false, force: true }), { code: "copy_refused" });
  assert.equal(readFileSync(path.join(outside, "three"), "utf8"), "outside\n");
});

test("a directory that a copy was not made of, and one of several, are told apart", async (t) => {
  const { row, host, guest, compare } = await open(t);
  const connect = (): Promise<Sandbox> => Promise.reject(new Error("nobody is asked"));
  const onStaging = (): Disposable => ({ [Symbol.dispose]: () => undefined });
  await assert.rejects(openComparison(row, { connect, onStaging, hostPath: guest }), { code: "folder_refused" });
  const none = { ...row, directory: path.join(row.directory, "none") };
  await assert.rejects(openComparison(none, { connect, onStaging }), /not made with a copy/);
  const copies = path.join(row.directory, "copies");
  writeFileSync(path.join(copies, "1.json"), readFileSync(path.join(copies, "0.json")));
  await assert.rejects(compare(), /several copies/);
  rmSync(path.join(copies, "1.json"));
  symlinkSync(host, `${host}-link`);
  await using comparison = await compare();
  assert.equal(comparison.hostPath, host);
});

test("what a killed comparison left is removed by the next one", async (t) => {
  const world = await open(t);
  const { row, compare } = world;
  mkdirSync(path.join(row.directory, "sync-4194303-0123abcd", "tree"), { recursive: true });
  {
    await using _comparison = await compare();
    assert.equal(readdirSync(row.directory).filter((name) => name.startsWith("sync-")).length, 1);
  }
  assertClean(world);
});

test("what could not be brought here is not counted, and offered again by the next sync", async (t) => {
  const { host, guest, row, compare } = await open(t);
  writeFileSync(path.join(guest, "one"), "changed\n");
  writeFileSync(path.join(guest, "sub", "three"), "changed as well\n");
  {
    await using comparison = await compare();
    assert.deepEqual(namesOf(comparison), ["one", "sub/three"]);
    // Stands for all that the host's file system may refuse: there is nothing to be written.
    const staging = readdirSync(row.directory).find((name) => name.startsWith("sync-")) ?? "";
    rmSync(path.join(row.directory, staging, "sub", "three"));
    assert.equal((await comparison.apply({ remove: false, force: false })).written, 1);
    assert.equal(readFileSync(path.join(host, "one"), "utf8"), "changed\n");
  }
  await using again = await compare();
  assert.deepEqual(namesOf(again), ["sub/three"]);
});

function namesOf({ changes }: Comparison): string[] {
  return changes.map((change) => change.path);
}
