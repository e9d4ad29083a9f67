/**
 * Where the local runtime keeps things: XDG directories (XDG Base Directory Specification 0.8), or all below `SBX_HOME`.
 * Sockets need a short path: the kernel takes 107 bytes.
 */
import { createHash } from "node:crypto";
import { chmodSync, lstatSync, mkdirSync, statSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import path from "node:path";
import { SbxError } from "../errors.ts";

/** sun_path holds 108 bytes with its final NUL (unix(7)). */
const MAX_SOCKET_PATH_BYTES = 107;
/** `/sbx_loc_<20>.sock` and a little room. */
const SOCKET_NAME_BYTES = 36;

export interface StatePaths {
  /** Where `images` lies: the user's own data, also for the organisations of a control plane. */
  imageDataPath: string;
  /** Images and templates, which can be made again, and the files of volumes and snapshots, which cannot. */
  dataPath: string;
  templatesPath: string;
  /** Files of volumes and snapshots, and the copy of their records: made when there is a first one. */
  layersPath: string;
  cataloguePath: string;
  /** Sandboxes' directories and the database. */
  statePath: string;
  sandboxesPath: string;
  databasePath: string;
  verdictPath: string;
  /** Sockets; on a short path, and open to nobody else. */
  socketsPath: string;
}

/** @throws SbxError `config_invalid` for relative or foreign directories */
export function statePaths(env: NodeJS.ProcessEnv = process.env): StatePaths {
  const home = homeOf(env);
  const dataPath =
    home === undefined ? path.join(xdg(env, "XDG_DATA_HOME", ".local/share"), "sbx") : path.join(home, "data");
  const statePath =
    home === undefined ? path.join(xdg(env, "XDG_STATE_HOME", ".local/state"), "sbx") : path.join(home, "state");
  return {
    ...pathsBelow(dataPath, statePath),
    imageDataPath: dataPath,
    verdictPath: path.join(statePath, "accelerator.json"),
    socketsPath: socketsPath(env, statePath),
  };
}

/** What is each runtime's own, whoever's images and sockets it has. */
export function pathsBelow(
  dataPath: string,
  statePath: string,
): Omit<StatePaths, "imageDataPath" | "verdictPath" | "socketsPath"> {
  return {
    dataPath,
    templatesPath: path.join(dataPath, "templates"),
    layersPath: path.join(dataPath, "layers"),
    cataloguePath: path.join(dataPath, "layers", "catalogue.json"),
    statePath,
    sandboxesPath: path.join(statePath, "sandboxes"),
    databasePath: path.join(statePath, "sbx.db"),
  };
}

/**
 * Makes the directories, closed to everybody else.
 *
 * @throws SbxError `config_invalid` where there cannot be any, `disk_full`
 */
export function prepareDirectories(paths: StatePaths): void {
  const { dataPath, templatesPath, statePath, sandboxesPath, socketsPath } = paths;
  for (const directory of [dataPath, templatesPath, statePath, sandboxesPath, socketsPath]) {
    try {
      makeDirectory(directory);
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === "ENOSPC") {
        throw new SbxError("disk_full", `there is no room to make the directory ${directory}`, { cause });
      }
      throw new SbxError("config_invalid", `the directory ${directory} cannot be made`, {
        cause,
        hint: "set SBX_HOME to a directory that you can write to",
      });
    }
  }
  const stats = lstatSync(paths.socketsPath);
  // In /tmp anybody may have made it first.
  if (!stats.isDirectory() || stats.uid !== process.getuid?.()) {
    throw new SbxError("config_invalid", `${paths.socketsPath} belongs to somebody else`, {
      hint: "set XDG_RUNTIME_DIR to a directory of your own",
    });
  }
  if ((stats.mode & 0o077) !== 0) chmodSync(paths.socketsPath, 0o700);
}

/** Node's own recursive mkdir never ends below a directory that takes no entries, such as /proc (v26.10). */
function makeDirectory(directory: string): void {
  if (statSync(directory, { throwIfNoEntry: false })?.isDirectory() === true) return;
  const parent = path.dirname(directory);
  if (parent !== directory) makeDirectory(parent);
  try {
    mkdirSync(directory, { mode: 0o700 });
  } catch (error) {
    // Another sbx may have been quicker.
    if (statSync(directory, { throwIfNoEntry: false })?.isDirectory() !== true) throw error;
  }
}

function socketsPath(env: NodeJS.ProcessEnv, statePath: string): string {
  const home = homeOf(env);
  const runtime = env.XDG_RUNTIME_DIR;
  if (home !== undefined) {
    if (isShort(path.join(home, "run"))) return path.join(home, "run");
  } else if (runtime !== undefined && path.isAbsolute(runtime) && isShort(path.join(runtime, "sbx"))) {
    return path.join(runtime, "sbx");
  }
  return temporarySockets(statePath);
}

/** The directory, or one in a temporary place where its path is too long for sockets. */
export function shortSocketsPath(directory: string, statePath: string): string {
  return isShort(directory) ? directory : temporarySockets(statePath);
}

/** One directory for each state: two of them must not meet in one. */
function temporarySockets(statePath: string): string {
  const hash = createHash("sha256").update(statePath).digest("hex").slice(0, 8);
  const name = `sbx-${process.getuid?.() ?? 0}-${hash}`;
  const preferred = path.join(tmpdir(), name);
  return isShort(preferred) ? preferred : path.join("/tmp", name);
}

function isShort(directory: string): boolean {
  return Buffer.byteLength(directory) + SOCKET_NAME_BYTES <= MAX_SOCKET_PATH_BYTES;
}

function xdg(env: NodeJS.ProcessEnv, variable: string, fallback: string): string {
  const value = env[variable];
  // The specification: relative paths are to be ignored.
  if (value !== undefined && path.isAbsolute(value)) return value;
  const home = env.HOME === undefined ? homedir() : env.HOME;
  return path.join(absolute(home, "HOME"), fallback);
}

/** `SBX_HOME`; empty counts as unset. */
function homeOf({ SBX_HOME: home }: NodeJS.ProcessEnv): string | undefined {
  return home === undefined || home === "" ? undefined : absolute(home, "SBX_HOME");
}

function absolute(directory: string, variable: string): string {
  if (path.isAbsolute(directory)) return directory;
  throw new SbxError("config_invalid", `${variable} must be an absolute path, not ${JSON.stringify(directory)}`, {
    hint: `export ${variable}=/a/directory/of/yours`,
  });
}
