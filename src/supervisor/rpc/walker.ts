/**
 * `walk` as std/fs of Deno defines it (deno-sandbox-protocol, section 3.9): which entries, under which paths, in which
 * order. Names are the guest's choice; the filters are the client's.
 */
import { posix } from "node:path";
import type { AgentDirEntry, FileType } from "../../protocol/agent-calls.ts";
import { agentViolation } from "../../protocol/agent-frames.ts";
import type { WalkEntry } from "../../protocol/rpc-methods-fs.ts";
import { callErrno, describing, onPath } from "./call-error.ts";
import { readDirectory } from "./directory.ts";
import { toEntryFlags } from "./file-info.ts";
import type { GuestState } from "./guest-state.ts";
import { type Pattern, PatternMatcher } from "./pattern-matcher.ts";
import { readWalkEntries } from "./walk-entries.ts";

export interface WalkOptions {
  maxDepth: number;
  includeFiles: boolean;
  includeDirs: boolean;
  includeSymlinks: boolean;
  followSymlinks: boolean;
  canonicalize: boolean;
  exts: readonly string[] | undefined;
  match: Pattern[] | undefined;
  skip: Pattern[] | undefined;
}

export const WALK_DEFAULTS: WalkOptions = {
  maxDepth: Infinity,
  includeFiles: true,
  includeDirs: true,
  includeSymlinks: true,
  followSymlinks: false,
  canonicalize: true,
  exts: undefined,
  match: undefined,
  skip: undefined,
};

/** Entries that are matched at a time. */
const BATCH = 256;
/** Directories that one walk goes into, at most: a followed link may lead round in circles. */
const MAX_DIRECTORY_DEPTH = 4096;

/** Walks from a path of a client's. @throws CallError, SbxError */
export class Walker {
  readonly #state: GuestState;
  readonly #options: WalkOptions;
  readonly #signal: AbortSignal;
  readonly #exts: readonly string[] | undefined;
  readonly #matcher: PatternMatcher;

  constructor(state: GuestState, options: WalkOptions, signal: AbortSignal) {
    this.#state = state;
    this.#options = options;
    this.#signal = signal;
    this.#exts = options.exts?.map((ext) => (ext.startsWith(".") ? ext : `.${ext}`));
    this.#matcher = new PatternMatcher([options.match ?? [], options.skip ?? []]);
  }

  /** The root as an entry. @throws CallError if it does not exist */
  async root(path: string): Promise<WalkEntry> {
    const params = { path: this.#state.resolvePath(path), user: this.#state.user };
    const work = this.#state.link.call("fs.stat", params, { signal: this.#signal });
    const { type } = await describing(onPath("stat", path), work);
    const normalized = posix.normalize(path);
    return { path: normalized, name: posix.basename(normalized), ...toEntryFlags(type) };
  }

  async *walk(path: string): AsyncGenerator<WalkEntry> {
    const { maxDepth, includeDirs } = this.#options;
    if (maxDepth < 0) return;
    const root = await this.root(path);
    const [verdict] = this.#judge([path]);
    if (includeDirs && verdict?.included === true) yield root;
    if (maxDepth < 1 || verdict?.skipped !== false) return;
    if (!root.isDirectory) throw callErrno("ENOTDIR", onPath("readdir", path));
    // The agent walks fastest, but goes where it is not asked to with `skip`, and names by its own rules with links.
    const isPlain = !this.#options.followSymlinks && this.#options.skip === undefined;
    yield* isPlain ? this.#walkByAgent(path) : this.#walkInto(path, maxDepth, 0);
  }

  async *#walkByAgent(path: string): AsyncGenerator<WalkEntry> {
    const { maxDepth } = this.#options;
    const { link, user } = this.#state;
    const absolute = this.#state.resolvePath(path);
    const realPath = link.call("fs.realPath", { path: absolute, user }, { signal: this.#signal });
    const top = await describing(onPath("realpath", path), realPath);
    const depth = Number.isFinite(maxDepth) ? Math.floor(maxDepth) : null;
    const prefix = top === "/" ? top : `${top}/`;
    let batch: WalkEntry[] = [];
    for await (const entry of readWalkEntries(this.#state, { path: top, maxDepth: depth }, this.#signal)) {
      if (entry.depth === 0) continue;
      if (!entry.path.startsWith(prefix)) throw agentViolation("a walk that leaves its root");
      batch.push({
        path: posix.join(path, entry.path.slice(prefix.length)),
        name: entry.name,
        ...toEntryFlags(entry.type),
      });
      if (batch.length < BATCH) continue;
      yield* this.#filter(batch);
      batch = [];
    }
    yield* this.#filter(batch);
  }

  /** Every kind of entry has its own flag; what is neither directory nor link counts as a file. */
  *#filter(entries: WalkEntry[]): Generator<WalkEntry> {
    const verdicts = this.#judge(entries.map(({ path }) => path));
    for (const [at, entry] of entries.entries()) {
      if (this.#isWanted(entry) && verdicts[at]?.included === true) yield entry;
    }
  }

  #isWanted({ isDirectory, isSymlink }: WalkEntry): boolean {
    const { includeDirs, includeSymlinks, includeFiles } = this.#options;
    return isDirectory ? includeDirs : isSymlink ? includeSymlinks : includeFiles;
  }

  async *#walkInto(directory: string, maxDepth: number, level: number): AsyncGenerator<WalkEntry> {
    if (level > MAX_DIRECTORY_DEPTH) throw callErrno("ELOOP", onPath("walk", directory));
    const entries = await describing(onPath("readdir", directory), readDirectory(this.#state, directory, this.#signal));
    for (let at = 0; at < entries.length; at += BATCH) {
      const batch = entries.slice(at, at + BATCH).map((entry) => this.#locate(directory, entry));
      const verdicts = this.#judge(batch.map(({ path }) => path));
      for (const [n, entry] of batch.entries()) {
        const { included = false, skipped = true } = verdicts[n] ?? {};
        if (entry.isSymlink && this.#options.followSymlinks) {
          yield* this.#followLink(entry, maxDepth, level);
        } else if (entry.isDirectory) {
          if (included && this.#options.includeDirs) yield entry;
          if (maxDepth >= 2 && !skipped) yield* this.#walkInto(entry.path, maxDepth - 1, level + 1);
        } else if (included && this.#isWanted(entry)) {
          yield entry;
        }
      }
    }
  }

  #locate(directory: string, { name, type }: AgentDirEntry): WalkEntry {
    return { path: posix.join(directory, name), name, ...toEntryFlags(type) };
  }

  async *#followLink(entry: WalkEntry, maxDepth: number, level: number): AsyncGenerator<WalkEntry> {
    const target = await this.#ask("fs.realPath", entry.path);
    const { type } = await this.#lstat(target);
    const path = this.#options.canonicalize ? target : entry.path;
    const [verdict] = this.#judge([path]);
    if (type !== "dir") {
      if (this.#options.includeFiles && verdict?.included === true) yield { ...entry, path };
      return;
    }
    if (this.#options.includeDirs && verdict?.included === true) {
      yield { path: posix.normalize(path), name: posix.basename(path), ...toEntryFlags(type) };
    }
    if (maxDepth >= 2 && verdict?.skipped === false) yield* this.#walkInto(path, maxDepth - 1, level + 1);
  }

  async #ask(method: "fs.realPath", path: string): Promise<string> {
    const params = { path: this.#state.resolvePath(path), user: this.#state.user };
    return describing(onPath("realpath", path), this.#state.link.call(method, params, { signal: this.#signal }));
  }

  async #lstat(path: string): Promise<{ type: FileType }> {
    const params = { path: this.#state.resolvePath(path), user: this.#state.user };
    return describing(onPath("lstat", path), this.#state.link.call("fs.lstat", params, { signal: this.#signal }));
  }

  #judge(paths: string[]): { included: boolean; skipped: boolean }[] {
    const hasMatch = this.#options.match !== undefined;
    return this.#matcher.match(paths).map(([matched = false, skipped = false], at) => {
      const path = paths[at] ?? "";
      const hasExt = this.#exts?.some((ext) => path.endsWith(ext)) ?? true;
      return { skipped, included: hasExt && (!hasMatch || matched) && !skipped };
    });
  }
}
