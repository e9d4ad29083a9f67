/**
 * What a directory of the host was when a sandbox was given a copy of it: each entry with size, time and hash. It lies
 * in the sandbox's directory, and tells later which side has changed what (`sbx sync`).
 */
import { createHash, type Hash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, renameSync, statSync, writeFileSync } from "node:fs";
import path from "node:path";
import * as z from "zod/mini";
import type { CopyEntry, PackObserver } from "../../copy/copy-records.ts";
import { SbxError } from "../../errors.ts";
import type { EntryKind } from "../../folders.ts";

/** Entries beyond which a copy is made, but not remembered. */
export const MAX_ENTRIES = 500_000;
const MAX_FILE_BYTES = 512 * 1024 ** 2;
const DIRECTORY_NAME = "copies";
const FILE_NAME = /^\d{1,3}\.json$/;
const SCHEMA = 1;

export interface ManifestEntry {
  kind: EntryKind;
  /** Permission bits, 0777. */
  mode: number;
  size: number;
  /** Epoch `ms`, whole: what a copy carries over. */
  mtimeMs: number;
  /** sha-256 of a file's content, hex; the text of a link; empty for a directory, or where it is not known. */
  content: string;
}

export interface Manifest {
  hostPath: string;
  guestPath: string;
  copiedAt: number;
  /** By path relative to the directory, one character a byte. */
  entries: Map<string, ManifestEntry>;
}

const KINDS = ["file", "directory", "symlink"] as const satisfies readonly EntryKind[];
const count = () => z.number().check(z.int(), z.nonnegative());

const manifestSchema = () =>
  z.object({
    schema: z.literal(SCHEMA),
    hostPath: z.string(),
    guestPath: z.string(),
    copiedAt: z.number(),
    entries: z
      .array(z.tuple([z.string(), z.enum(KINDS), count(), count(), z.number(), z.string()]))
      .check(z.maxLength(MAX_ENTRIES)),
  });

/** Builds a manifest from what goes into a copy of a directory's contents. */
export class ManifestBuilder implements PackObserver {
  readonly entries = new Map<string, ManifestEntry>();
  /** Whether there were more entries than are remembered. */
  overflowed = false;
  #file: { entry: ManifestEntry; hash: Hash; left: number } | undefined;

  entry(entry: CopyEntry): void {
    const name = entry.path.toString("latin1");
    if (this.entries.size >= MAX_ENTRIES) {
      this.overflowed = true;
      this.#file = undefined;
      return;
    }
    if (entry.type === "hardLink") {
      const first = this.entries.get(entry.link.toString("latin1"));
      if (first !== undefined) this.entries.set(name, first);
      return;
    }
    const made: ManifestEntry = {
      kind: entry.type,
      mode: entry.mode & 0o777,
      size: entry.size,
      mtimeMs: Math.floor(entry.mtimeMs),
      content: entry.type === "symlink" ? entry.link.toString("latin1") : "",
    };
    this.entries.set(name, made);
    this.#file = undefined;
    if (entry.type !== "file") return;
    this.#file = { entry: made, hash: createHash("sha256"), left: entry.size };
    if (entry.size === 0) this.#finish();
  }

  data(bytes: Buffer): void {
    if (this.#file === undefined) return;
    this.#file.hash.update(bytes);
    this.#file.left -= bytes.length;
    if (this.#file.left === 0) this.#finish();
  }

  cut(): void {
    this.#file = undefined;
  }

  #finish(): void {
    if (this.#file === undefined) return;
    this.#file.entry.content = this.#file.hash.digest("hex");
    this.#file = undefined;
  }
}

/** Writes it down; a reader sees the old one or the new one. */
export function writeManifest(sandboxDirectory: string, index: number, manifest: Manifest): void {
  const directory = path.join(sandboxDirectory, DIRECTORY_NAME);
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const entries = [...manifest.entries].map(([name, { kind, mode, size, mtimeMs, content }]) => {
    return [name, kind, mode, size, mtimeMs, content];
  });
  const file = path.join(directory, `${index}.json`);
  writeFileSync(`${file}.new`, JSON.stringify({ schema: SCHEMA, ...manifest, entries }), { mode: 0o600 });
  renameSync(`${file}.new`, file);
}

/** The manifests of a sandbox by their numbers. @throws SbxError `state_broken` */
export function readManifests(sandboxDirectory: string): Map<number, Manifest> {
  const directory = path.join(sandboxDirectory, DIRECTORY_NAME);
  const found = new Map<number, Manifest>();
  for (const name of listDirectory(directory)) {
    if (!FILE_NAME.test(name)) continue;
    found.set(Number.parseInt(name, 10), readManifest(path.join(directory, name)));
  }
  return new Map([...found].sort(([a], [b]) => a - b));
}

function readManifest(file: string): Manifest {
  try {
    if (statSync(file).size > MAX_FILE_BYTES) throw new Error("it is too long");
    const { hostPath, guestPath, copiedAt, entries } = manifestSchema().parse(JSON.parse(readFileSync(file, "utf8")));
    return {
      ...{ hostPath, guestPath, copiedAt },
      entries: new Map(
        entries.map(([name, kind, mode, size, mtimeMs, content]) => [name, { kind, mode, size, mtimeMs, content }]),
      ),
    };
  } catch (cause) {
    throw new SbxError("state_broken", `the record of a copy, ${file}, cannot be read`, { cause });
  }
}

function listDirectory(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}
