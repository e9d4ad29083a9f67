/** File system calls that need one word of the guest (deno-sandbox-protocol, sections 2.5 and 3.9). */
import type { AgentCalls } from "../../protocol/agent-calls.ts";
import { callErrno, describing, onPath } from "./call-error.ts";
import { readDirectory } from "./directory.ts";
import { toEntryFlags, toFileInfo } from "./file-info.ts";
import type { GuestState } from "./guest-state.ts";
import type { Call, Handlers } from "./session.ts";

type Methods =
  | "readDir"
  | "remove"
  | "mkdir"
  | "rename"
  | "copyFile"
  | "stat"
  | "lstat"
  | "chmod"
  | "chown"
  | "link"
  | "symlink"
  | "readLink"
  | "realPath"
  | "makeTempDir"
  | "makeTempFile"
  | "truncate"
  | "umask"
  | "utime";

type AgentMethod = keyof AgentCalls;

/** Permission bits; callers leave file type bits in. */
export const MODE_BITS = 0o7777;
const TEMP_DIRECTORY = "/tmp";

/** Calls the agent and rewords its failure: `operation 'path'`. */
async function ask<M extends AgentMethod>(
  { session, signal }: Call,
  method: M,
  params: AgentCalls[M]["params"],
  operation: string,
  path: string,
): Promise<AgentCalls[M]["result"]> {
  return describing(onPath(operation, path), session.state.link.call(method, params, { signal }));
}

/** Path and rights of a call. */
function at(state: GuestState, path: string): { path: string; user: string } {
  return { path: state.resolvePath(path), user: state.user };
}

export const FILE_HANDLERS: Handlers<Methods> = {
  readDir: async (call, { path }) => {
    const { session, signal } = call;
    const entries = await describing(onPath("readdir", path), readDirectory(session.state, path, signal));
    return entries.map(({ name, type }) => ({ name, ...toEntryFlags(type) }));
  },
  remove: async (call, { path, options }) => {
    const params = { ...at(call.session.state, path), recursive: options?.recursive ?? false };
    return ask(call, "fs.remove", params, "remove", path);
  },
  mkdir: async (call, { path, options }) => {
    const { recursive, mode } = options ?? {};
    const params = { ...at(call.session.state, path), recursive: recursive ?? false, mode: modeBits(mode) };
    return ask(call, "fs.mkdir", params, "mkdir", path);
  },
  rename: async (call, { oldPath, newPath }) => move(call, "fs.rename", "rename", oldPath, newPath),
  copyFile: async (call, { fromPath, toPath }) => move(call, "fs.copyFile", "copy", fromPath, toPath),
  stat: async (call, { path }) => toFileInfo(await ask(call, "fs.stat", at(call.session.state, path), "stat", path)),
  lstat: async (call, { path }) => toFileInfo(await ask(call, "fs.lstat", at(call.session.state, path), "lstat", path)),
  chmod: async (call, { path, mode }) =>
    ask(call, "fs.chmod", { ...at(call.session.state, path), mode: mode & MODE_BITS }, "chmod", path),
  chown: async (call, { path, uid, gid }) =>
    ask(call, "fs.chown", { ...at(call.session.state, path), uid, gid }, "chown", path),
  link: async (call, { target, path }) => {
    const { state } = call.session;
    const params = { ...at(state, path), target: state.resolvePath(target) };
    return describing(`link '${target}' -> '${path}'`, state.link.call("fs.link", params, { signal: call.signal }));
  },
  symlink: async (call, { target, path }) => {
    const { state } = call.session;
    if (target.includes("\0")) throw callErrno("EINVAL", onPath("symlink", path));
    // The text of a symbolic link is nobody's path yet: it stays as it is.
    const work = state.link.call("fs.symlink", { ...at(state, path), target }, { signal: call.signal });
    return describing(`symlink '${target}' -> '${path}'`, work);
  },
  readLink: async (call, { path }) => ask(call, "fs.readLink", at(call.session.state, path), "readlink", path),
  realPath: async (call, { path }) => ask(call, "fs.realPath", at(call.session.state, path), "realpath", path),
  makeTempDir: async (call, { options }) => makeTemp(call, options ?? {}, true),
  makeTempFile: async (call, { options }) => makeTemp(call, options ?? {}, false),
  truncate: async (call, { name, length }) =>
    ask(call, "fs.truncate", { ...at(call.session.state, name), length: length ?? 0 }, "truncate", name),
  umask: async ({ session, signal }, { mask }) =>
    session.state.link.call("fs.umask", { mask: mask == null ? null : mask & 0o777 }, { signal }),
  utime: async (call, { path, atime, mtime }) => {
    const params = { ...at(call.session.state, path), atime: toEpochMs(atime), mtime: toEpochMs(mtime) };
    return ask(call, "fs.utime", params, "utime", path);
  },
};

/** A date as text, or seconds. */
export function toEpochMs(time: string | number): number {
  return typeof time === "number" ? Math.round(time * 1000) : Date.parse(time);
}

export function modeBits(mode: number | null | undefined): number | null {
  return mode == null ? null : mode & MODE_BITS;
}

async function move(
  { session: { state }, signal }: Call,
  method: "fs.rename" | "fs.copyFile",
  operation: string,
  from: string,
  to: string,
): Promise<null> {
  const params = { from: state.resolvePath(from), to: state.resolvePath(to), user: state.user };
  return describing(`${operation} '${from}' -> '${to}'`, state.link.call(method, params, { signal }));
}

async function makeTemp(
  { session: { state }, signal }: Call,
  options: { dir?: string | null | undefined; prefix?: string | null | undefined; suffix?: string | null | undefined },
  directory: boolean,
): Promise<string> {
  const { dir, prefix, suffix } = options;
  for (const part of [prefix, suffix]) {
    if (part != null && /[/\0]/.test(part)) throw callErrno("EINVAL", onPath("maketemp", part));
  }
  const parent = dir == null ? TEMP_DIRECTORY : state.resolvePath(dir);
  const params = { dir: parent, prefix: prefix ?? "", suffix: suffix ?? "", directory, user: state.user };
  return describing(onPath("maketemp", parent), state.link.call("fs.makeTemp", params, { signal }));
}
