/**
 * `expandGlob` as std/fs of Deno defines it (deno-sandbox-protocol, section 3.9): segment by segment, from the part
 * that has nothing special in it, each step sorted by path. Names are the guest's choice and matched under a watchdog.
 */
import { posix } from "node:path";
import type { WalkEntry } from "../../protocol/rpc-methods-fs.ts";
import { CallError, describing, onPath } from "./call-error.ts";
import { readDirectory } from "./directory.ts";
import { toEntryFlags } from "./file-info.ts";
import { type GlobOptions, literalSegment, pathToPattern, segmentToPattern } from "./glob-pattern.ts";
import type { GuestState } from "./guest-state.ts";
import { type Pattern, PatternMatcher } from "./pattern-matcher.ts";
import { WALK_DEFAULTS, Walker, type WalkOptions } from "./walker.ts";

export interface ExpandOptions extends GlobOptions {
  caseInsensitive: boolean;
  includeDirs: boolean;
  followSymlinks: boolean;
  canonicalize: boolean;
  root: string | undefined;
  exclude: readonly string[];
}

/** What all matches of one step may take, UTF-16 units of their paths. */
const MAX_MATCHED_CHARS = 64 * 1024 * 1024;
const BATCH = 256;
/** Errors that mean that the fixed part of the glob is not there. */
const ABSENT = new Set(["ENOENT", "ENOTDIR"]);

/** @throws CallError for a directory that cannot be read, a pattern that takes too long, or too many matches */
export async function expandGlob(
  state: GuestState,
  glob: string,
  options: ExpandOptions,
  signal: AbortSignal,
): Promise<WalkEntry[]> {
  return new GlobExpander(state, options, signal).expand(glob);
}

class GlobExpander {
  readonly #state: GuestState;
  readonly #options: ExpandOptions;
  readonly #signal: AbortSignal;
  readonly #exclude: Pattern[];
  readonly #excluded: PatternMatcher;

  constructor(state: GuestState, options: ExpandOptions, signal: AbortSignal) {
    this.#state = state;
    this.#options = options;
    this.#signal = signal;
    const root = this.#root();
    this.#exclude = options.exclude.map((glob) => this.#pattern(pathToPattern(posix.resolve(root, glob), options)));
    this.#excluded = new PatternMatcher([this.#exclude]);
  }

  async expand(glob: string): Promise<WalkEntry[]> {
    const segments = glob.split("/").filter((segment) => segment !== "");
    let fixed = glob.startsWith("/") ? "/" : this.#root();
    for (let first = segments[0]; first !== undefined; first = segments[0]) {
      const name = literalSegment(first, this.#options);
      if (name === undefined) break;
      fixed = posix.join(fixed, name);
      segments.shift();
    }
    let matches = await this.#start(fixed);
    while (segments.length > 0 && matches.length > 0) matches = await this.#advance(matches, segments);
    if (glob.endsWith("/")) matches = matches.filter((entry) => entry.isDirectory);
    return this.#options.includeDirs ? matches : matches.filter((entry) => !entry.isDirectory);
  }

  #root(): string {
    return posix.resolve(this.#state.home, this.#options.root ?? ".");
  }

  async #start(path: string): Promise<WalkEntry[]> {
    try {
      return [await this.#walker({}).root(path)];
    } catch (error) {
      if (error instanceof CallError && ABSENT.has(error.serialized.code ?? "")) return [];
      throw error;
    }
  }

  /** Takes one segment off, or two where one walk can answer both. */
  async #advance(matches: WalkEntry[], segments: string[]): Promise<WalkEntry[]> {
    const segment = segments.shift() ?? "";
    const next = new Map<string, WalkEntry>();
    let chars = 0;
    const add = (entry: WalkEntry): void => {
      if (!next.has(entry.path)) chars += entry.path.length + 64;
      if (chars > MAX_MATCHED_CHARS) {
        throw new CallError({ constructorName: "RangeError", message: "the glob matches too many entries" });
      }
      next.set(entry.path, entry);
    };
    const directories = matches.filter((entry) => entry.isDirectory);
    const { globstar, followSymlinks } = this.#options;
    if (segment === "**") {
      const following = segments[0];
      const isPlain = following !== undefined && following !== "**" && following !== ".." && !followSymlinks;
      if (isPlain && globstar) segments.shift();
      const names = isPlain && globstar ? this.#names(following) : undefined;
      for (const directory of directories) await this.#descend(directory, names, add);
    } else if (segment === "..") {
      for (const directory of directories) await this.#ascend(directory, add);
    } else {
      const names = this.#names(segment);
      for (const directory of directories) await this.#list(directory, names, add);
    }
    return [...next.values()].sort((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0));
  }

  /** `**`: the directory and all below; with `names` only what is below and has a matching name. */
  async #descend(directory: WalkEntry, names: PatternMatcher | undefined, add: (e: WalkEntry) => void): Promise<void> {
    const { globstar, followSymlinks, canonicalize } = this.#options;
    const maxDepth = globstar ? Infinity : 1;
    const walker = this.#walker({ maxDepth, followSymlinks, canonicalize });
    let batch: WalkEntry[] = [];
    const flush = (): void => {
      const verdicts = names?.match(batch.map(({ name }) => name));
      for (const [at, entry] of batch.entries()) if (verdicts === undefined || verdicts[at]?.[0] === true) add(entry);
      batch = [];
    };
    for await (const entry of walker.walk(directory.path)) {
      if (names !== undefined && entry.path === directory.path) continue;
      batch.push(entry);
      if (batch.length === BATCH) flush();
    }
    flush();
  }

  async #ascend(directory: WalkEntry, add: (entry: WalkEntry) => void): Promise<void> {
    const parent = posix.join(directory.path, "..");
    if (!this.#isExcluded(parent)) add(await this.#walker({}).root(parent));
  }

  /** What is in a directory and has a matching name. */
  async #list(directory: WalkEntry, names: PatternMatcher, add: (entry: WalkEntry) => void): Promise<void> {
    for await (const batch of this.#children(directory)) {
      const matches = names.match(batch.map(({ name }) => name));
      const skips = this.#excluded.match(batch.map(({ path }) => path));
      for (const [at, entry] of batch.entries()) {
        if (matches[at]?.[0] === true && skips[at]?.[0] !== true) add(entry);
      }
    }
  }

  async *#children(directory: WalkEntry): AsyncGenerator<WalkEntry[]> {
    if (this.#options.followSymlinks) {
      const walker = this.#walker({ maxDepth: 1, followSymlinks: true });
      for await (const entry of walker.walk(directory.path)) if (entry.path !== directory.path) yield [entry];
      return;
    }
    if (this.#isExcluded(directory.path)) return;
    const listing = readDirectory(this.#state, directory.path, this.#signal);
    const entries = await describing(onPath("readdir", directory.path), listing);
    for (let at = 0; at < entries.length; at += BATCH) {
      yield entries.slice(at, at + BATCH).map(({ name, type }) => {
        return { path: posix.join(directory.path, name), name, ...toEntryFlags(type) };
      });
    }
  }

  #isExcluded(path: string): boolean {
    return this.#excluded.match([path])[0]?.[0] === true;
  }

  #names(segment: string): PatternMatcher {
    return new PatternMatcher([[this.#pattern(segmentToPattern(segment, this.#options))]]);
  }

  #pattern(source: string): Pattern {
    return { source, flags: this.#options.caseInsensitive ? "i" : "" };
  }

  #walker(options: Partial<WalkOptions>): Walker {
    const skip = this.#exclude.length === 0 ? undefined : this.#exclude;
    return new Walker(this.#state, { ...WALK_DEFAULTS, ...options, skip }, this.#signal);
  }
}
