/**
 * Where the local runtime keeps things: XDG directories (XDG Base Directory Specification 0.8), or all below `SBX_HOME`.
 * Sockets need a short path: the kernel takes 107 bytes.
 */
import { createHash } from "node:crypto";
import { chmodSync, lstatSync, mkdirSync } from "node:fs";
import { homedir, tmpdir, userInfo } from "node:os";
import path from "node:path";
import { SbxError } from "../errors.ts";

/** sun_path holds 108 bytes with its final NUL (unix(7)). */
const MAX_SOCKET_PATH_BYTES = 107;
/** `/sbx_loc_<20>.sock` and a little room. */
const SOCKET_NAME_BYTES = 36;

export interface StatePaths {
  /** Images and templates: large, can be made again. */
  dataPath: string;
  templatesPath: string;
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
  const home = env.SBX_HOME;
  const dataPath =
    home === undefined
      ? path.join(xdg(env, "XDG_DATA_HOME", ".local/share"), "sbx")
      : path.join(absolute(home), "data");
  const statePath =
    home === undefined
      ? path.join(xdg(env, "XDG_STATE_HOME", ".local/state"), "sbx")
      : path.join(absolute(home), "state");
  return {
    dataPath,
    templatesPath: path.join(dataPath, "templates"),
    statePath,
    sandboxesPath: path.join(statePath, "sandboxes"),
    databasePath: path.join(statePath, "sbx.db"),
    verdictPath: path.join(statePath, "accelerator.json"),
    socketsPath: socketsPath(env, statePath),
  };
}

/** Makes the directories, closed to everybody else. */
export function prepareDirectories(paths: StatePaths): void {
  for (const directory of [paths.dataPath, paths.templatesPath, paths.statePath, paths.sandboxesPath]) {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
  }
  mkdirSync(paths.socketsPath, { recursive: true, mode: 0o700 });
  const stats = lstatSync(paths.socketsPath);
  // In /tmp anybody may have made it first.
  if (!stats.isDirectory() || stats.uid !== userInfo().uid) {
    throw new SbxError("config_invalid", `${paths.socketsPath} belongs to somebody else`, {
      hint: `set XDG_RUNTIME_DIR to a directory of your own`,
    });
  }
  if ((stats.mode & 0o077) !== 0) chmodSync(paths.socketsPath, 0o700);
}

function socketsPath(env: NodeJS.ProcessEnv, statePath: string): string {
  const runtime = env.XDG_RUNTIME_DIR;
  const candidates = [
    env.SBX_HOME === undefined ? undefined : path.join(absolute(env.SBX_HOME), "run"),
    env.SBX_HOME === undefined && runtime !== undefined && path.isAbsolute(runtime)
      ? path.join(runtime, "sbx")
      : undefined,
  ];
  const short = candidates.find(
    (p) => p !== undefined && Buffer.byteLength(p) + SOCKET_NAME_BYTES <= MAX_SOCKET_PATH_BYTES,
  );
  if (short !== undefined) return short;
  // One directory for each state: two of them must not meet in one.
  const hash = createHash("sha256").update(statePath).digest("hex").slice(0, 8);
  const name = `sbx-${userInfo().uid}-${hash}`;
  const preferred = path.join(tmpdir(), name);
  return Buffer.byteLength(preferred) + SOCKET_NAME_BYTES <= MAX_SOCKET_PATH_BYTES
    ? preferred
    : path.join("/tmp", name);
}

function xdg(env: NodeJS.ProcessEnv, variable: string, fallback: string): string {
  const value = env[variable];
  // The specification: relative paths are to be ignored.
  return value !== undefined && path.isAbsolute(value) ? value : path.join(env.HOME ?? homedir(), fallback);
}

function absolute(directory: string): string {
  if (path.isAbsolute(directory)) return directory;
  throw new SbxError("config_invalid", `SBX_HOME must be an absolute path, not ${JSON.stringify(directory)}`);
}
