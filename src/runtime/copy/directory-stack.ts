/**
 * The way from a copy's destination down to the directory that is being filled. Depth first order makes a stack of
 * it: memory and open files are bounded by the depth of a path. Components come from a hostile stream and were
 * checked by entry-path.
 */
import { chmodSync, mkdirSync, utimesSync } from "node:fs";
import { SbxError } from "../errors.ts";
import { type DirectoryHandle, openChild, openRoot } from "./directory-handle.ts";
import { joinComponents, showPath } from "./entry-path.ts";
import { toFileTime } from "./file-time.ts";
import { errnoOf, hostFileError } from "./host-errors.ts";

interface Level {
  component: string;
  handle: DirectoryHandle;
  /** What a directory that we made gets when it is complete. */
  pending: { mode: number; mtimeMs: number } | undefined;
}

/** While it is being filled a directory is its owner's alone. */
const FILLING_MODE = 0o700;
/** No set-user-id, no set-group-id. */
const DIRECTORY_MODE_BITS = 0o1777;

export class DirectoryStack implements Disposable {
  readonly root: DirectoryHandle;
  readonly #levels: Level[] = [];

  /** @param path of an existing directory, which the user named */
  constructor(path: string) {
    try {
      this.root = openRoot(path);
    } catch (cause) {
      throw hostFileError("cannot copy to", path, cause);
    }
  }

  /**
   * The handle of a directory, opened step by step without following links.
   *
   * @throws SbxError `copy_refused` if it is not there or is no directory
   */
  enter(components: readonly string[]): DirectoryHandle {
    this.#leaveAllBut(components);
    for (let depth = this.#levels.length; depth < components.length; depth++) {
      this.#descend(components, depth, undefined);
    }
    return this.#top;
  }

  /**
   * Makes a directory and enters it. One that is there already is kept as it is, its mode and time too.
   *
   * @throws SbxError `copy_refused` if something else has its name; the system's error if it cannot be made
   */
  make(components: readonly string[], mode: number, mtimeMs: number): void {
    const component = components.at(-1);
    if (component === undefined) return;
    const parent = this.enter(components.slice(0, -1));
    let isNew = true;
    try {
      mkdirSync(parent.child(component), FILLING_MODE);
    } catch (error) {
      if (errnoOf(error) !== "EEXIST") throw error;
      isNew = false;
    }
    this.#descend(components, components.length - 1, isNew ? { mode, mtimeMs } : undefined);
  }

  /** Completes every directory on the way. */
  leaveAll(): void {
    this.#leaveAllBut([]);
  }

  /** As {@link leaveAll}, for a copy that failed: what cannot be completed stays as it is. */
  [Symbol.dispose](): void {
    while (this.#levels.length > 0) {
      try {
        this.#leave();
      } catch {
        // The copy's own failure is what the user has to hear of.
      }
    }
    this.root[Symbol.dispose]();
  }

  get #top(): DirectoryHandle {
    return this.#levels.at(-1)?.handle ?? this.root;
  }

  #leaveAllBut(components: readonly string[]): void {
    let shared = 0;
    while (shared < this.#levels.length && this.#levels[shared]?.component === components[shared]) shared++;
    while (this.#levels.length > shared) this.#leave();
  }

  #descend(components: readonly string[], depth: number, pending: Level["pending"]): void {
    const component = components[depth] ?? "";
    try {
      this.#levels.push({ component, handle: openChild(this.#top, component), pending });
    } catch (cause) {
      const path = showPath(joinComponents(components.slice(0, depth + 1)));
      switch (errnoOf(cause)) {
        case "ENOENT":
          throw new SbxError("copy_refused", `the copy fills a directory that it did not announce: ${path}`, { cause });
        case "ENOTDIR":
        case "ELOOP":
          throw new SbxError(
            "copy_refused",
            `${path} is not a directory at the destination, and links are not followed`,
            {
              cause,
              hint: "move it away, or copy to another directory",
            },
          );
        default:
          throw hostFileError("cannot copy to", joinComponents(components.slice(0, depth + 1)), cause);
      }
    }
  }

  #leave(): void {
    const level = this.#levels.pop();
    if (level === undefined) return;
    using handle = level.handle;
    if (level.pending === undefined) return;
    const time = toFileTime(level.pending.mtimeMs);
    utimesSync(handle.self, time, time);
    chmodSync(handle.self, level.pending.mode & DIRECTORY_MODE_BITS);
  }
}
