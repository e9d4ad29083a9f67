/**
 * What has changed on which side since a copy was made. Pure but for looks at the two trees on this machine: the host's
 * directory, and what was fetched from the sandbox.
 */
import { hostRisk } from "../../../folders/host-risks.ts";
import type { Change, EntryKind } from "../../folders.ts";
import type { Manifest, ManifestEntry } from "./copy-manifest.ts";
import type { GuestEntry } from "./guest-listing.ts";
import { BLOCKED, type HostEntry, lookAtHost, NOTHING } from "./host-side.ts";

const EXECUTABLE = 0o111;
/** Files of the guest that were not changed have the time that the copy gave them, to the millisecond. */
export const TIME_SLACK_MS = 1;

/** A change with what is needed to bring it over. */
export interface FoundChange extends Change {
  /** One character a byte. */
  readonly key: string;
  /** What the host had when that was looked at. */
  readonly stamp: string;
  /** What the directory will be remembered to have; `null` for what is gone. */
  readonly after: ManifestEntry | null;
}

export interface Candidates {
  /** To be fetched: whole new directories, and single entries of known ones. */
  wanted: string[];
  /** Entries of the guest that may have changed, those in new directories included. */
  touched: Map<string, GuestEntry & { kind: EntryKind }>;
  removed: string[];
  skipped: { path: string; reason: string }[];
}

/** What is worth a closer look. */
export function findCandidates(manifest: Manifest, guest: ReadonlyMap<string, GuestEntry>): Candidates {
  const candidates: Candidates = { wanted: [], touched: new Map(), removed: [], skipped: [] };
  const isNewDirectory = (name: string): boolean =>
    guest.get(name)?.kind === "directory" && manifest.entries.get(name)?.kind !== "directory";
  for (const [name, entry] of guest) {
    const { kind } = entry;
    if (kind === "other") {
      candidates.skipped.push({ path: toText(name), reason: "neither a file nor a directory nor a link" });
      continue;
    }
    const before = manifest.entries.get(name);
    if (before !== undefined && isSame(before, entry)) continue;
    candidates.touched.set(name, { ...entry, kind });
    // What is in a new directory comes with that.
    if (!parentsOf(name).some(isNewDirectory) && (kind !== "directory" || before?.kind !== "directory")) {
      candidates.wanted.push(name);
    }
  }
  for (const name of manifest.entries.keys()) if (!guest.has(name)) candidates.removed.push(name);
  return candidates;
}

/** The changes, in the order of their paths; what turns out to be the same on both sides is none. */
export function findChanges(
  manifest: Manifest,
  { touched, removed }: Pick<Candidates, "touched" | "removed">,
  stagingPath: string,
): { changes: FoundChange[]; same: Map<string, ManifestEntry>; skipped: { path: string; reason: string }[] } {
  const changes: FoundChange[] = [];
  const same = new Map<string, ManifestEntry>();
  const skipped: { path: string; reason: string }[] = [];
  // A new directory goes without saying where something in it is said.
  const filled = new Set([...touched.keys()].flatMap(parentsOf));
  for (const [key, guest] of touched) {
    const fetched = lookAtHost(stagingPath, key);
    if (fetched === NOTHING || fetched === BLOCKED || fetched.kind !== guest.kind) continue;
    const after = toManifestEntry(fetched, guest);
    const before = manifest.entries.get(key);
    if (before !== undefined && hasSameContent(before, after)) continue;
    const host = lookAtHost(manifest.hostPath, key);
    if (host === BLOCKED || (host !== NOTHING && isDirectoryAgainst(host.kind, after.kind))) {
      skipped.push({ path: toText(key), reason: "it is a directory on one side only" });
    } else if (host !== NOTHING && hasSameContent(toManifestEntry(host, host), after)) same.set(key, after);
    else if (after.kind !== "directory" || !filled.has(key)) changes.push(describe(key, before, after, host));
  }
  for (const key of removed) {
    const before = manifest.entries.get(key);
    const host = lookAtHost(manifest.hostPath, key);
    if (before === undefined || host === NOTHING || host === BLOCKED) continue;
    changes.push({
      ...{ key, path: toText(key), kind: "removed", entry: before.kind, size: null, stamp: host.stamp, after: null },
      conflict: !isHostUnchanged(before, host),
      warnings: [],
    });
  }
  changes.sort((a, b) => (a.key < b.key ? -1 : 1));
  return { changes, same, skipped };
}

function describe(
  key: string,
  before: ManifestEntry | undefined,
  after: ManifestEntry,
  host: HostEntry | typeof NOTHING,
): FoundChange {
  const wasThere = before !== undefined;
  const hostChanged = host === NOTHING ? wasThere : !wasThere || !isHostUnchanged(before, host);
  return {
    ...{ key, path: toText(key), entry: after.kind, after },
    kind: wasThere ? "changed" : "added",
    size: after.kind === "file" ? after.size : null,
    stamp: host === NOTHING ? NOTHING : host.stamp,
    // A directory that both made is the same directory.
    conflict: hostChanged && after.kind !== "directory",
    warnings: warningsOf(key, before, after),
  };
}

function warningsOf(key: string, before: ManifestEntry | undefined, after: ManifestEntry): string[] {
  const warnings: string[] = [];
  const risk = hostRisk(toText(key).split("/"));
  if (risk !== undefined) warnings.push(risk);
  if (after.kind === "symlink") warnings.push(linkWarning(key, toText(after.content)));
  const wasExecutable = before?.kind === "file" && (before.mode & EXECUTABLE) !== 0;
  if (after.kind === "file" && (after.mode & EXECUTABLE) !== 0 && !wasExecutable) warnings.push("becomes executable");
  return warnings;
}

function linkWarning(key: string, target: string): string {
  let depth = key.split("/").length - 1;
  for (const component of target.split("/")) {
    if (component === "..") depth -= 1;
    else if (component !== "" && component !== ".") depth += 1;
    if (depth < 0) break;
  }
  const leaves = target.startsWith("/") || depth < 0;
  return leaves ? `a link that leads out of the directory, to ${target}` : `a link to ${target}`;
}

/** Whether a look from afar says that nothing was done to it. */
function isSame(before: ManifestEntry, now: GuestEntry): boolean {
  if (before.kind !== now.kind) return false;
  if (before.kind === "directory") return true;
  if (before.kind === "symlink") return before.content === now.target;
  const isSameTime = Math.abs(before.mtimeMs - now.mtimeMs) <= TIME_SLACK_MS;
  return isSameTime && before.size === now.size && before.mode === now.mode;
}

/** As {@link isSame} for the host's side, with its content where the look is not enough. */
function isHostUnchanged(before: ManifestEntry, host: HostEntry): boolean {
  if (before.kind !== host.kind) return false;
  if (before.kind === "directory") return true;
  if (before.kind === "file") {
    if (before.size !== host.size) return false;
    if (before.mtimeMs === host.mtimeMs && before.mode === host.mode) return true;
  }
  return before.content !== "" && before.content === host.content() && before.mode === host.mode;
}

function hasSameContent(one: ManifestEntry, other: ManifestEntry): boolean {
  if (one.kind !== other.kind) return false;
  if (one.kind === "directory") return true;
  if (one.kind === "file" && (one.size !== other.size || one.mode !== other.mode)) return false;
  return one.content !== "" && one.content === other.content;
}

function toManifestEntry(entry: HostEntry, { mtimeMs }: { mtimeMs: number }): ManifestEntry {
  const kind = entry.kind === "other" ? "file" : entry.kind;
  const content = kind === "directory" || entry.kind === "other" ? "" : entry.content();
  return { kind, mode: entry.mode, size: kind === "file" ? entry.size : 0, mtimeMs, content };
}

function isDirectoryAgainst(host: HostEntry["kind"], guest: EntryKind): boolean {
  return (host === "directory") !== (guest === "directory") || host === "other";
}

export function parentsOf(name: string): string[] {
  const components = name.split("/");
  return components.slice(0, -1).map((_, index) => components.slice(0, index + 1).join("/"));
}

export function toText(latin1: string): string {
  return Buffer.from(latin1, "latin1").toString("utf8");
}
