/**
 * Comparing a copy in a sandbox with the directory that it was made from, and bringing back what the sandbox changed.
 * Changed files are fetched into the sandbox's own directory first; what was shown is what is brought over.
 */
import { randomBytes } from "node:crypto";
import { mkdirSync, readdirSync, realpathSync, rmSync } from "node:fs";
import path from "node:path";
import { throwIfAborted } from "../../abort.ts";
import { pack } from "../../copy/pack.ts";
import { unpack } from "../../copy/unpack.ts";
import { SbxError } from "../../errors.ts";
import type { ApplyOptions, ApplyReport, Change, ChangeTexts, Comparison } from "../../folders.ts";
import type { CallOptions, Sandbox } from "../../runtime.ts";
import { type Manifest, type ManifestEntry, readManifests, writeManifest } from "./copy-manifest.ts";
import { fetchChanged } from "./fetch-changed.ts";
import { findCandidates, findChanges, type FoundChange, parentsOf, TIME_SLACK_MS } from "./find-changes.ts";
import { listGuestTree } from "./guest-listing.ts";
import { BLOCKED, lookAtHost, NOTHING, readFromHost, removeFromHost } from "./host-side.ts";

/** Longest file that is shown as text, `bytes`. */
const MAX_TEXT_BYTES = 512 * 1024;
/** Before the pid and some letters in the name of a directory for fetched files. */
const STAGING = "sync-";
/** Conflicts that an error names. */
const MAX_NAMED = 10;

export interface ComparedSandbox {
  id: string;
  name: string | null;
  /** Of this machine: where it is written down what was copied. */
  directory: string;
}

export interface ComparisonOptions extends CallOptions {
  hostPath?: string;
  connect: (options: CallOptions) => Promise<Sandbox>;
  /** Told each directory of the host for incomplete files, before there are any. */
  onStaging: (path: string) => Disposable;
}

/** @throws SbxError `folder_refused`, `guest_error`; nothing is left then */
export async function openComparison(row: ComparedSandbox, options: ComparisonOptions): Promise<Comparison> {
  const [index, manifest] = chooseCopy(row, options.hostPath);
  const stagingPath = path.join(row.directory, `${STAGING}${process.pid}-${randomBytes(4).toString("hex")}`);
  const { signal, onProgress } = options;
  const call = { ...(signal === undefined ? {} : { signal }), ...(onProgress === undefined ? {} : { onProgress }) };
  await using sandbox = await options.connect(call);
  onProgress?.({ stage: "compare", message: "comparing" });
  const candidates = findCandidates(manifest, await listGuestTree(sandbox, manifest.guestPath, call));
  removeStaleStaging(row.directory);
  mkdirSync(stagingPath, { mode: 0o700 });
  try {
    const { guestPath } = manifest;
    const left = await fetchChanged(sandbox, { ...call, guestPath, stagingPath, wanted: candidates.wanted });
    const { changes, same, skipped } = findChanges(manifest, candidates, stagingPath);
    keepOnly(stagingPath, new Set(changes.map(({ key }) => key)));
    return new LocalComparison({
      ...{ row, index, manifest, stagingPath, changes, same },
      skipped: [...candidates.skipped, ...left, ...skipped],
      onStaging: options.onStaging,
    });
  } catch (error) {
    rmSync(stagingPath, { recursive: true, force: true });
    throw error;
  }
}

/**
 * Removes from the staging place whatever is no change that is shown: files that were only touched, and what came into a
 * new directory after it was listed.
 */
function keepOnly(root: string, wanted: ReadonlySet<string>): void {
  const visit = (directory: string): boolean => {
    let isEmpty = true;
    const entries = readdirSync(stagedPath(root, directory), { withFileTypes: true, encoding: "buffer" });
    for (const entry of entries) {
      const name = entry.name.toString("latin1");
      const key = directory === "" ? name : `${directory}/${name}`;
      const stays = entry.isDirectory() ? !visit(key) || wanted.has(key) : wanted.has(key);
      if (stays) isEmpty = false;
      else rmSync(stagedPath(root, key), { recursive: true });
    }
    return isEmpty;
  };
  visit("");
}

function stagedPath(root: string, key: string): Buffer {
  return Buffer.concat([Buffer.from(`${root}/`), Buffer.from(key, "latin1")]);
}

/** What a killed sync has left; the rest goes with the sandbox's directory. */
function removeStaleStaging(directory: string): void {
  for (const name of readdirSync(directory)) {
    const pid = new RegExp(`^${STAGING}(\\d{1,10})-`).exec(name)?.[1];
    if (pid !== undefined && !isProcess(Number(pid)))
      rmSync(path.join(directory, name), { recursive: true, force: true });
  }
}

function isProcess(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

/** The one copy that is meant. @throws SbxError `folder_refused` */
function chooseCopy(row: ComparedSandbox, hostPath: string | undefined): [number, Manifest] {
  const title = row.name ?? row.id;
  const manifests = [...readManifests(row.directory)];
  if (manifests.length === 0) {
    throw new SbxError("folder_refused", `sandbox ${title} was not made with a copy of a directory`, {
      hint: `sbx copy ${title}:PATH .`,
    });
  }
  const names = manifests.map(([, manifest]) => manifest.hostPath).join(", ");
  const meant =
    hostPath === undefined ? manifests : manifests.filter(([, manifest]) => manifest.hostPath === realOr(hostPath));
  const [found, ...more] = meant;
  if (found === undefined) {
    throw new SbxError("folder_refused", `sandbox ${title} was made with copies of ${names}, not of ${hostPath ?? ""}`);
  }
  if (more.length > 0) {
    throw new SbxError("folder_refused", `sandbox ${title} was made with several copies: ${names}`, {
      hint: `sbx sync ${title} ${found[1].hostPath}`,
    });
  }
  return found;
}

/** What is remembered of a directory. */
const DIRECTORY: ManifestEntry = { kind: "directory", mode: 0o755, size: 0, mtimeMs: 0, content: "" };

interface Parts {
  row: ComparedSandbox;
  index: number;
  manifest: Manifest;
  stagingPath: string;
  changes: readonly FoundChange[];
  /** What both sides have already, and the record does not. */
  same: ReadonlyMap<string, ManifestEntry>;
  skipped: readonly { path: string; reason: string }[];
  onStaging: (path: string) => Disposable;
}

class LocalComparison implements Comparison {
  readonly hostPath: string;
  readonly guestPath: string;
  readonly changes: readonly FoundChange[];
  readonly skipped: Parts["skipped"];
  readonly #parts: Parts;

  constructor(parts: Parts) {
    this.#parts = parts;
    this.hostPath = parts.manifest.hostPath;
    this.guestPath = parts.manifest.guestPath;
    this.changes = parts.changes;
    this.skipped = parts.skipped;
  }

  async texts(change: Change): Promise<ChangeTexts> {
    const found = this.changes.find((one) => one === change);
    if (found === undefined || change.entry === "directory")
      return { before: null, after: null, reason: "a directory" };
    const before = readText(this.hostPath, found.key);
    const after = change.kind === "removed" ? "" : readText(this.#parts.stagingPath, found.key);
    if (typeof before === "string" && typeof after === "string") return { before, after, reason: null };
    const { reason } = typeof before === "string" ? (after as NoText) : before;
    return { before: null, after: null, reason };
  }

  async apply({ remove, force, signal }: ApplyOptions): Promise<ApplyReport> {
    const { manifest, row, index, stagingPath } = this.#parts;
    const changes = this.changes.filter(({ kind }) => remove || kind !== "removed");
    this.#refuseConflicts(changes, force);
    throwIfAborted(signal, "bringing the changes back");
    const skipped: { path: string; reason: string }[] = [];
    const wanted = changes.filter(({ kind }) => kind !== "removed");
    let written = 0;
    if (wanted.length > 0) {
      using records = new DisposableStack();
      const totals = { files: 0, bytes: 0 };
      const source = { path: Buffer.from(`${stagingPath}/.`), name: Buffer.from("staging"), isDirectory: true };
      const destination = { shown: this.hostPath, root: this.hostPath, name: null, directoryOnly: false };
      const report = await unpack(pack([source], totals, { signal }), destination, {
        ...{ signal, contentsOnly: true },
        onStaging: (staging) => void records.use(this.#parts.onStaging(staging)),
      });
      skipped.push(...report.skipped);
      for (const { key, after } of wanted) {
        // What was skipped is not remembered, and found again by the next comparison.
        if (after === null || !this.#isBrought(key, after)) continue;
        written += 1;
        for (const parent of parentsOf(key)) manifest.entries.set(parent, DIRECTORY);
        manifest.entries.set(key, after);
      }
    }
    const removed = this.#remove(changes, skipped);
    for (const [key, entry] of this.#parts.same) manifest.entries.set(key, entry);
    writeManifest(row.directory, index, manifest);
    return { written, removed, skipped };
  }

  /** By a look from afar: times come over with the files. */
  #isBrought(key: string, after: ManifestEntry): boolean {
    const host = lookAtHost(this.hostPath, key);
    if (host === NOTHING || host === BLOCKED || host.kind !== after.kind) return false;
    if (after.kind === "directory") return true;
    if (after.kind === "symlink") return host.content() === after.content;
    return host.size === after.size && Math.abs(host.mtimeMs - after.mtimeMs) <= TIME_SLACK_MS;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    rmSync(this.#parts.stagingPath, { recursive: true, force: true });
  }

  /** Conflicts that were shown, and what the host has changed since then. */
  #refuseConflicts(changes: readonly FoundChange[], force: boolean): void {
    if (force) return;
    const conflicts = changes.filter(({ conflict, key, stamp }) => conflict || this.#stampOf(key) !== stamp);
    if (conflicts.length === 0) return;
    const named = conflicts.slice(0, MAX_NAMED).map(({ path: name }) => `'${name}'`);
    const more = conflicts.length > MAX_NAMED ? ` and ${conflicts.length - MAX_NAMED} more` : "";
    throw new SbxError("sync_conflict", `changed on both sides: ${named.join(", ")}${more}; nothing was brought back`, {
      hint: "look at both versions; --force takes the sandbox's",
    });
  }

  #stampOf(key: string): string {
    const host = lookAtHost(this.hostPath, key);
    return host === NOTHING || host === BLOCKED ? NOTHING : host.stamp;
  }

  #remove(changes: readonly FoundChange[], skipped: { path: string; reason: string }[]): number {
    let count = 0;
    // What is in a directory comes behind it.
    for (const { kind, key, path: name } of [...changes].reverse()) {
      if (kind !== "removed") continue;
      try {
        removeFromHost(this.hostPath, key);
        this.#parts.manifest.entries.delete(key);
        count += 1;
      } catch (error) {
        const code = (error as NodeJS.ErrnoException).code;
        skipped.push({ path: name, reason: code === "ENOTEMPTY" ? "there is something else in it" : String(code) });
      }
    }
    return count;
  }
}

interface NoText {
  reason: string;
}

function readText(root: string, key: string): string | NoText {
  const bytes = lookAtHost(root, key) === NOTHING ? Buffer.alloc(0) : readFromHost(root, key, MAX_TEXT_BYTES + 1);
  if (bytes === null) return { reason: "neither a file nor a link" };
  if (bytes.length > MAX_TEXT_BYTES) return { reason: "it is too long to be shown" };
  if (bytes.includes(0)) return { reason: "it is binary" };
  const text = bytes.toString("utf8");
  return Buffer.from(text).equals(bytes) ? text : { reason: "it is binary" };
}

function realOr(hostPath: string): string {
  try {
    return realpathSync(hostPath);
  } catch {
    // It may have been removed since it was copied: its name has to do.
    return path.resolve(hostPath);
  }
}
