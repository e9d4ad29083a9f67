/**
 * Copies between the host and sandboxes, by the rules of `cp -r`: what is a source, what is a destination, and which
 * way the bytes go. What a sandbox sends is hostile and goes through unpack or the relay; what it reports is shown.
 */
import { posix } from "node:path";
import { RemoteError } from "../../protocol/rpc-error.ts";
import { throwIfAborted } from "../abort.ts";
import { ChunkPool } from "../copy/chunk-pool.ts";
import { copyProgress } from "../copy/copy-progress.ts";
import { resolveDestination } from "../copy/destination.ts";
import { isContentsPath, listContents, type PackSource, resolveSources } from "../copy/pack-sources.ts";
import { pack, type PackTotals } from "../copy/pack.ts";
import { Relay } from "../copy/relay.ts";
import { scanBytes } from "../copy/scan.ts";
import { SkippedList } from "../copy/skipped-list.ts";
import { unpack } from "../copy/unpack.ts";
import { SbxError } from "../errors.ts";
import type { CopyOptions, CopyReport } from "../runtime.ts";
import { receiveInGuest, sendFromGuest } from "./copy-calls.ts";
import type { CopyEnd, GuestDestination, GuestSources } from "./copy-ends.ts";

/** What relative paths in a sandbox are relative to. */
const GUEST_HOME = "/home/app";

/** Host to sandbox. */
export async function uploadFiles(
  end: CopyEnd,
  paths: string[],
  destination: string,
  options: CopyOptions,
): Promise<CopyReport> {
  needSources(paths);
  throwIfAborted(options.signal, "the copy");
  const { sources, target } = await planUpload(end, paths, destination);
  const total = options.onProgress === undefined ? undefined : await scanBytes(sources, options.signal);
  const progress = copyProgress(options.onProgress, "copying to the sandbox", total);
  const totals: PackTotals = { files: 0, bytes: 0 };
  const pool = new ChunkPool();
  const { signal, observer } = options;
  const chunks = pack(sources, totals, { signal, observer, onBytes: progress.onBytes, pool });
  const report = await receiveInGuest(end, chunks, target, options, (chunk) => pool.give(chunk));
  progress.finish();
  return { ...totals, skipped: report.skipped };
}

/**
 * Sandbox to host.
 *
 * @param onStaging told the directory that incomplete files are in, before there are any
 */
export async function downloadFiles(
  end: CopyEnd,
  paths: string[],
  destination: string,
  options: CopyOptions,
  onStaging?: (path: string) => void,
): Promise<CopyReport> {
  needSources(paths);
  needDistinctNames(paths);
  throwIfAborted(options.signal, "the copy");
  const sources = await findGuestSources(end, paths);
  const target = resolveDestination(destination, sources.mayBeSeveral);
  const contentsOnly = paths.length === 1 && paths.some(isContentsPath);
  const progress = copyProgress(options.onProgress, "copying from the sandbox");
  const { result } = await sendFromGuest(end, sources, options, (stream) =>
    unpack(stream, target, {
      signal: options.signal,
      onBytes: progress.onBytes,
      contentsOnly,
      ...(onStaging === undefined ? {} : { onStaging }),
    }),
  );
  progress.finish();
  return result;
}

/** Sandbox to sandbox, through this process but not through its disk. */
export async function transferFiles(
  source: CopyEnd,
  paths: string[],
  target: CopyEnd,
  destination: string,
  options: CopyOptions,
): Promise<CopyReport> {
  needSources(paths);
  needDistinctNames(paths);
  if (source.id === target.id) needOtherPlace(paths, destination);
  throwIfAborted(options.signal, "the copy");
  const sources = await findGuestSources(source, paths);
  const goesInto = sources.mayBeSeveral;
  if (goesInto && (await isGuestDirectory(target, destination)) === false) throw notADirectory(target, destination);
  const progress = copyProgress(options.onProgress, "copying between sandboxes");
  const relay = new Relay();
  const { result } = await sendFromGuest(source, sources, options, (stream) => {
    const chunks = relay.pass(stream, { signal: options.signal, onBytes: progress.onBytes });
    return receiveInGuest(target, chunks, { path: toGuestPath(destination), directory: goesInto }, options);
  });
  progress.finish();
  const skipped = new SkippedList();
  skipped.addAll(relay.skipped.list());
  skipped.addAll(result.skipped);
  return { ...relay.totals, skipped: skipped.list() };
}

/** Which sources go where in the guest. Only where the rules depend on it is the guest asked what is there. */
async function planUpload(
  end: CopyEnd,
  paths: string[],
  destination: string,
): Promise<{ sources: PackSource[]; target: GuestDestination }> {
  const { sources, isContents } = resolveSources(paths);
  const path = toGuestPath(destination);
  const endsWithSlash = destination.endsWith("/");
  if (sources.length === 1 && !isContents && !endsWithSlash) return { sources, target: { path, directory: false } };
  // Undefined: the guest would not tell; it decides when the copy arrives.
  const isDirectory = await isGuestDirectory(end, path);
  if (isDirectory !== false) {
    const listed = isContents ? sources.flatMap((source) => listContents(source)) : sources;
    return { sources: listed, target: { path, directory: true } };
  }
  if (sources.length > 1) throw notADirectory(end, destination);
  if (endsWithSlash && sources[0]?.isDirectory !== true) throw notADirectory(end, destination);
  return { sources, target: { path: path.replace(/\/+$/, ""), directory: false } };
}

async function isGuestDirectory(end: CopyEnd, path: string): Promise<boolean | undefined> {
  try {
    return (await end.client.call("stat", { path: toGuestPath(path) })).isDirectory;
  } catch (error) {
    if (!(error instanceof RemoteError)) throw error;
    // What the ordinary user may not see, the user of the copy perhaps may.
    return error.code === "ENOENT" || error.code === "ENOTDIR" ? false : undefined;
  }
}

function notADirectory(end: CopyEnd, destination: string): SbxError {
  return new SbxError("guest_error", `'${destination}' is not an existing directory in the sandbox`, {
    hint: `make it first: sbx exec ${end.id} -- mkdir -p '${destination}'`,
  });
}

function needSources(paths: string[]): void {
  if (paths.length === 0) throw new SbxError("usage", "nothing to copy: name at least one source");
}

/** As on the host: two sources of one name would end as one file, and which one is chance. */
function needDistinctNames(paths: string[]): void {
  const names = new Map<string, string>();
  for (const path of paths) {
    if (hasGlob(path) || isContentsPath(path)) continue;
    const name = posix.basename(path);
    const other = names.get(name);
    if (other !== undefined) {
      throw new SbxError("usage", `'${other}' and '${path}' would both become '${name}'`, {
        hint: "copy them into different directories",
      });
    }
    names.set(name, path);
  }
}

/** As on the host: a directory that is copied into itself would be copied with what has been copied so far. */
function needOtherPlace(paths: string[], destination: string): void {
  const to = posix.resolve(GUEST_HOME, destination);
  for (const path of paths.filter((path) => !hasGlob(path))) {
    const from = posix.resolve(GUEST_HOME, path);
    if (to !== from && !to.startsWith(from === "/" ? "/" : `${from}/`)) continue;
    throw new SbxError("usage", `'${from}' cannot be copied into itself, '${to}'`, {
      hint: "name a destination outside of it",
    });
  }
}

/**
 * Which of the paths are patterns for the guest to expand. As in a shell, one that is the name of something is that:
 * its special characters are escaped.
 */
async function findGuestSources(end: CopyEnd, paths: string[]): Promise<GuestSources & { mayBeSeveral: boolean }> {
  const sources: string[] = [];
  let globs = false;
  for (const path of paths) {
    const guestPath = toGuestPath(path);
    const isPattern = hasGlob(guestPath) && !(await existsInGuest(end, guestPath));
    globs ||= isPattern;
    sources.push(isPattern ? guestPath : escapeGlob(guestPath));
  }
  if (globs) return { paths: sources, globs, mayBeSeveral: true };
  return { paths: paths.map(toGuestPath), globs, mayBeSeveral: paths.length > 1 };
}

async function existsInGuest(end: CopyEnd, path: string): Promise<boolean> {
  try {
    await end.client.call("lstat", { path });
    return true;
  } catch (error) {
    if (error instanceof RemoteError) return false;
    throw error;
  }
}

/** The characters that mean something in the guest's patterns. */
function hasGlob(path: string): boolean {
  return /[*?[\\]/.test(path);
}

function escapeGlob(path: string): string {
  return path.replace(/[*?[\\]/g, "\\$&");
}

/**
 * `dir/.` is what `dir/` leads to, for the guest; that only its content is meant is this end's business. Nothing
 * (`box:`) is the default directory.
 */
function toGuestPath(path: string): string {
  if (path === "") return ".";
  return path.replace(/(?:\/+\.)+\/*$/, "/");
}
