/** The sources of a copy from the host, checked before anything is sent. The paths are the user's own. */
import { lstatSync, readdirSync, realpathSync, type Stats, statSync } from "node:fs";
import { basename, resolve } from "node:path";
import { SbxError } from "../errors.ts";
import { errnoOf, hostFileError } from "./host-errors.ts";

export interface PackSource {
  /** Where it is. */
  path: Buffer;
  /** Its first component in the stream. */
  name: Buffer;
  isDirectory: boolean;
}

export interface ResolvedSources {
  sources: PackSource[];
  /** Whether it is the content of one directory (`dir/.`) that is copied, not the directory. */
  isContents: boolean;
}

/** Whether a path stands for what is in a directory, as `.`, `dir/.` and `..` do for cp. */
export function isContentsPath(path: string): boolean {
  return /(?:^|\/)\.{1,2}\/*$/.test(path) || /^\/+$/.test(path);
}

/**
 * Finds the sources.
 *
 * @throws SbxError `file_error` if one is not there, `usage` if two would land under the same name
 */
export function resolveSources(paths: readonly string[]): ResolvedSources {
  const names = new Map<string, string>();
  const sources = paths.map((path) => {
    const stats = statSource(path);
    const name = sourceName(path);
    const other = names.get(name);
    if (other !== undefined) {
      throw new SbxError("usage", `'${other}' and '${path}' would both become '${name}'`, {
        hint: "copy them into different directories",
      });
    }
    names.set(name, path);
    return { path: Buffer.from(stripSlashes(path)), name: Buffer.from(name), isDirectory: stats.isDirectory() };
  });
  return { sources, isContents: paths.length === 1 && isContentsPath(paths[0] ?? "") };
}

/** What is in a directory, each as a source of its own. */
export function listContents(directory: PackSource): PackSource[] {
  try {
    return readdirSync(directory.path, { withFileTypes: true, encoding: "buffer" }).map((child) => ({
      path: Buffer.concat([directory.path, Buffer.from("/"), child.name]),
      name: child.name,
      isDirectory: child.isDirectory(),
    }));
  } catch (cause) {
    throw hostFileError("cannot read", directory.path, cause);
  }
}

/** A symbolic link is copied as one, unless a slash or a dot behind it asks for what it leads to. */
function statSource(path: string): Stats {
  if (path === "") throw new SbxError("usage", "the path of a source is empty");
  try {
    return path.endsWith("/") || isContentsPath(path) ? statSync(path) : lstatSync(path);
  } catch (cause) {
    const code = errnoOf(cause);
    if (code === "ENOENT") throw new SbxError("file_error", `no such file or directory: '${path}'`, { cause });
    if (code === "ENOTDIR") throw new SbxError("file_error", `'${path}' is not a directory`, { cause });
    throw hostFileError("cannot copy", path, cause);
  }
}

function sourceName(path: string): string {
  const name = basename(resolve(path));
  if (!isContentsPath(path)) return name;
  const real = basename(realpathSync(path));
  // The root directory has no name of its own.
  return real === "" ? "root" : real;
}

/** `dir/` and `link/` lead to the directory itself: `/.` keeps that when the slash goes. */
function stripSlashes(path: string): string {
  const stripped = path.replace(/\/+$/, "");
  if (stripped === "") return "/";
  return stripped === path ? path : `${stripped}/.`;
}
