/** Which side has changed what since a copy was made, and what is to be looked at. */
import assert from "node:assert/strict";
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { createHash } from "node:crypto";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { pack } from "../../../src/runtime/copy/pack.ts";
import {
  ManifestBuilder,
  readManifests,
  writeManifest,
  type Manifest,
} from "../../../src/runtime/local/folders/copy-manifest.ts";
import { findCandidates, findChanges, type FoundChange } from "../../../src/runtime/local/folders/find-changes.ts";
import { parseListing, type GuestEntry } from "../../../src/runtime/local/folders/guest-listing.ts";
import { BLOCKED, lookAtHost, NOTHING, removeFromHost } from "../../../src/runtime/local/folders/host-side.ts";

let base = "";
const host = (...names: string[]): string => path.join(base, "host", ...names);
/** The guest's tree; what is fetched of it is the same tree here. */
const guest = (...names: string[]): string => path.join(base, "guest", ...names);

beforeEach(() => {
  base = mkdtempSync(path.join(tmpdir(), "sbx-changes-"));
  mkdirSync(host("sub"), { recursive: true });
  writeFileSync(host("a"), "a\n");
  writeFileSync(host("b"), "b\n");
  writeFileSync(host("sub", "c"), "c\n");
  symlinkSync("a", host("link"));
});
afterEach(() => rmSync(base, { recursive: true, force: true }));

/** Copies the host's directory to the guest's, and remembers it. */
async function copy(): Promise<Manifest> {
  const observer = new ManifestBuilder();
  const totals = { files: 0, bytes: 0 };
  const names = ["a", "b", "sub", "link"];
  const sources = names.map((name) => ({ path: Buffer.from(host(name)), name: Buffer.from(name), isDirectory: false }));
  for await (const chunk of pack(sources, totals, { observer })) assert.ok(chunk.length > 0);
  mkdirSync(guest("sub"), { recursive: true });
  for (const name of ["a", "b", "sub/c"]) {
    writeFileSync(guest(name), readFileSync(host(name)));
    const time = (observer.entries.get(name)?.mtimeMs ?? 0) / 1000;
    utimesSync(guest(name), time, time);
  }
  symlinkSync("a", guest("link"));
  return { hostPath: host(), guestPath: "/w", copiedAt: 1, entries: observer.entries };
}

function listGuest(directory = "", found = new Map<string, GuestEntry>()): Map<string, GuestEntry> {
  for (const name of readdirSync(guest(directory)).sort()) {
    const key = directory === "" ? name : `${directory}/${name}`;
    const stats = lstatSync(guest(key));
    const kind = stats.isSymbolicLink() ? "symlink" : stats.isDirectory() ? "directory" : "file";
    const target = kind === "symlink" ? readlinkSync(guest(key)) : "";
    found.set(key, { kind, mode: stats.mode & 0o777, size: stats.size, mtimeMs: Math.floor(stats.mtimeMs), target });
    if (kind === "directory") listGuest(key, found);
  }
  return found;
}

function changesOf(manifest: Manifest): FoundChange[] {
  return findChanges(manifest, findCandidates(manifest, listGuest()), guest()).changes;
}

const short = (changes: readonly FoundChange[]): string[] =>
  changes.map(({ kind, path: name, conflict }) => `${kind} ${name}${conflict ? " conflict" : ""}`);

test("a manifest knows what was copied: hashes, targets, times, and reads back as it was written", async () => {
  const manifest = await copy();
  assert.deepEqual([...manifest.entries.keys()].sort(), ["a", "b", "link", "sub", "sub/c"]);
  assert.equal(manifest.entries.get("a")?.content, createHash("sha256").update("a\n").digest("hex"));
  assert.equal(manifest.entries.get("link")?.content, "a");
  writeManifest(base, 3, manifest);
  assert.deepEqual(readManifests(base), new Map([[3, manifest]]));
  writeFileSync(path.join(base, "copies", "3.json"), "{}");
  assert.throws(() => readManifests(base), { code: "state_broken" });
  assert.deepEqual(readManifests(path.join(base, "none")), new Map());
});

test("nothing has changed right after the copy, or when a file was only touched", async () => {
  const manifest = await copy();
  assert.deepEqual(changesOf(manifest), []);
  utimesSync(guest("a"), 1, 1);
  utimesSync(host("b"), 1, 1);
  assert.deepEqual(changesOf(manifest), []);
});

test("what the guest added, changed and removed is found; new directories only through what is in them", async () => {
  const manifest = await copy();
  writeFileSync(guest("a"), "guest\n");
  rmSync(guest("b"));
  mkdirSync(guest("new", "deep"), { recursive: true });
  writeFileSync(guest("new", "deep", "file"), "");
  mkdirSync(guest("empty"));
  assert.deepEqual(short(changesOf(manifest)), ["changed a", "removed b", "added empty", "added new/deep/file"]);
  const { wanted } = findCandidates(manifest, listGuest());
  assert.deepEqual(wanted.sort(), ["a", "empty", "new"], "a new directory is fetched as a whole");
});

test("what both sides changed is a conflict, unless they changed it to the same", async () => {
  const manifest = await copy();
  writeFileSync(guest("a"), "guest\n");
  writeFileSync(host("a"), "host\n");
  writeFileSync(guest("b"), "same\n");
  writeFileSync(host("b"), "same\n");
  rmSync(guest("sub", "c"));
  writeFileSync(host("sub", "c"), "changed here\n");
  writeFileSync(guest("new"), "guest\n");
  writeFileSync(host("new"), "host\n");
  const candidates = findCandidates(manifest, listGuest());
  const { changes, same } = findChanges(manifest, candidates, guest());
  assert.deepEqual(short(changes), ["changed a conflict", "added new conflict", "removed sub/c conflict"]);
  assert.deepEqual([...same.keys()], ["b"]);
});

test("what the host removed and the guest changed is a conflict; what both removed is nothing", async () => {
  const manifest = await copy();
  writeFileSync(guest("a"), "guest\n");
  rmSync(host("a"));
  rmSync(guest("b"));
  rmSync(host("b"));
  assert.deepEqual(short(changesOf(manifest)), ["changed a conflict"]);
});

test("a directory on one side and none on the other is left alone, and said", async () => {
  const manifest = await copy();
  rmSync(guest("a"));
  mkdirSync(guest("a"));
  const { changes, skipped } = findChanges(manifest, findCandidates(manifest, listGuest()), guest());
  assert.deepEqual(changes, []);
  assert.deepEqual(skipped, [{ path: "a", reason: "it is a directory on one side only" }]);
});

test("hooks, profiles, settings of editors, links and what becomes executable are pointed out", async () => {
  const manifest = await copy();
  const risky = [".git/hooks/pre-commit", ".git/config", ".envrc", ".vscode/tasks.json", "sub/.bashrc", ".Git/HOOKS/x"];
  for (const name of risky) {
    mkdirSync(path.dirname(guest(name)), { recursive: true });
    writeFileSync(guest(name), "x");
  }
  chmodSync(guest("a"), 0o755);
  symlinkSync("../../etc/passwd", guest("out"));
  symlinkSync("sub/c", guest("in"));
  const found = new Map(changesOf(manifest).map(({ path: name, warnings }) => [name, warnings]));
  for (const name of risky) assert.equal(found.get(name)?.length, 1, name);
  assert.deepEqual(found.get("a"), ["becomes executable"]);
  assert.deepEqual(found.get("out"), ["a link that leads out of the directory, to ../../etc/passwd"]);
  assert.deepEqual(found.get("in"), ["a link to sub/c"]);
});

test("the host's directory is looked at and changed without following a link in it", () => {
  mkdirSync(path.join(base, "outside"));
  writeFileSync(path.join(base, "outside", "file"), "secret");
  symlinkSync("../outside", host("out"));
  assert.equal(lookAtHost(host(), "out/file"), BLOCKED);
  assert.equal(lookAtHost(host(), "nothing/file"), NOTHING);
  removeFromHost(host(), "out/file");
  assert.equal(readFileSync(path.join(base, "outside", "file"), "utf8"), "secret");
  const link = lookAtHost(host(), "out");
  assert.ok(link !== NOTHING && link !== BLOCKED && link.kind === "symlink" && link.content() === "../outside");
});

test("a sandbox's list of its files is taken apart strictly", () => {
  const fields = (...entry: string[]): string => entry.map((field) => `${field}\0`).join("");
  const good =
    fields("f", "4755", "3", "1700000000.1234567890", "dir/a\nb", "") + fields("p", "644", "0", "-1", "pipe", "");
  assert.deepEqual(
    [...parseListing(Buffer.from(good))],
    [
      ["dir/a\nb", { kind: "file", mode: 0o755, size: 3, mtimeMs: 1_700_000_000_123, target: "" }],
      ["pipe", { kind: "other", mode: 0o644, size: 0, mtimeMs: -1000, target: "" }],
    ],
  );
  for (const bad of [
    "f\0",
    "no end",
    fields("f", "644", "3", "1", "../up", ""),
    fields("f", "644", "3", "1", "/etc/passwd", ""),
    fields("f", "644", "3", "1", "a//b", ""),
    fields("f", "644", "-3", "1", "a", ""),
    fields("f", "9", "3", "1", "a", ""),
    fields("f", "644", "3", "NaN", "a", ""),
    fields("f", "644", "3", "1", "a", "") + fields("f", "644", "3", "1", "a", ""),
  ]) {
    assert.throws(() => parseListing(Buffer.from(bad)), { name: "SbxError" }, JSON.stringify(bad));
  }
});
