/**
 * Schemas of the file system calls and of the file handles (deno-sandbox-protocol, section 2.5). Paths may be
 * relative: they are joined to the default directory by the server.
 */
import * as z from "zod/mini";
import { bytes, count, date, list, method, mode, name, none, opt, path, streamId, text } from "./rpc-schema.ts";

/** The latest time that a Date can hold (ECMA-262, 21.4.1.1), seconds. */
const MAX_TIME_SECONDS = 8.64e12;

const abortId = () => opt(count());
const flag = () => opt(z.boolean());

const regexp = () =>
  z.object({ source: z.string().check(z.maxLength(65_536)), flags: z.string().check(z.maxLength(16)) });

const writeParams = () =>
  z
    .object({
      path: path(),
      abortId: abortId(),
      options: opt(z.object({ append: flag(), create: flag(), createNew: flag(), mode: opt(mode()) })),
      content: opt(z.string()),
      contentStreamId: opt(streamId()),
    })
    .check(
      z.refine((value) => (value.content == null) !== (value.contentStreamId == null), {
        error: "exactly one of content and contentStreamId is needed",
      }),
    );

const makeTempParams = () =>
  z.object({ options: opt(z.object({ dir: opt(path()), prefix: opt(text()), suffix: opt(text()) })) });

const onPath = () => z.object({ path: path() });
const readParams = () => z.object({ path: path(), abortId: abortId() });
const opened = () => z.object({ fileHandleId: count() });
const streamed = () => z.object({ streamId: streamId() });

/** Times are ISO 8601; all keys are there and none is null. */
export const fileInfo = () =>
  z.object({
    isFile: z.boolean(),
    isDirectory: z.boolean(),
    isSymlink: z.boolean(),
    isBlockDevice: z.boolean(),
    isCharDevice: z.boolean(),
    isFifo: z.boolean(),
    isSocket: z.boolean(),
    size: z.number(),
    mode: z.number(),
    dev: z.number(),
    ino: z.number(),
    nlink: z.number(),
    uid: z.number(),
    gid: z.number(),
    rdev: z.number(),
    blksize: z.number(),
    blocks: z.number(),
    mtime: date(),
    atime: date(),
    birthtime: date(),
    ctime: date(),
  });
export type FileInfo = z.output<ReturnType<typeof fileInfo>>;

export const directoryEntry = () =>
  z.object({ name: z.string(), isFile: z.boolean(), isDirectory: z.boolean(), isSymlink: z.boolean() });
export type DirectoryEntry = z.output<ReturnType<typeof directoryEntry>>;

/** One chunk of a `walk` or `expandGlob` stream, as JSON. */
export const walkEntry = () => z.extend(directoryEntry(), { path: z.string() });
export type WalkEntry = z.output<ReturnType<typeof walkEntry>>;

const openOptions = () =>
  z.object({
    read: flag(),
    write: flag(),
    append: flag(),
    truncate: flag(),
    create: flag(),
    createNew: flag(),
    mode: opt(mode()),
  });

const walkOptions = () =>
  z.object({
    maxDepth: opt(z.number().check(z.nonnegative())),
    includeFiles: flag(),
    includeDirs: flag(),
    includeSymlinks: flag(),
    followSymlinks: flag(),
    canonicalize: flag(),
    exts: opt(list(name())),
    match: opt(list(regexp())),
    skip: opt(list(regexp())),
  });

/** The SDK for Python has the options in an object of their own. */
const walkParams = () => z.extend(walkOptions(), { path: path(), options: opt(walkOptions()) });

const globOptions = () =>
  z.object({
    extended: flag(),
    globstar: flag(),
    caseInsensitive: flag(),
    includeDirs: flag(),
    followSymlinks: flag(),
    canonicalize: flag(),
    root: opt(path()),
    exclude: opt(list(path())),
  });

const globParams = () => z.extend(globOptions(), { glob: path(), options: opt(globOptions()) });

/** The SDK for Python also sends seconds since the epoch. */
const time = () => z.union([date(), z.number().check(z.minimum(-MAX_TIME_SECONDS), z.maximum(MAX_TIME_SECONDS))]);

/** `null` keeps the owner or the group. */
const owner = () => z.nullable(z.number().check(z.int(), z.nonnegative(), z.maximum(0xffff_ffff)));

export const FILE_SYSTEM_METHODS = {
  readFile: method(readParams, bytes),
  readTextFile: method(readParams, () => z.string()),
  writeFile: method(writeParams, none),
  writeTextFile: method(writeParams, none),
  readDir: method(onPath, () => z.array(directoryEntry())),
  remove: method(() => z.object({ path: path(), options: opt(z.object({ recursive: flag() })) }), none),
  mkdir: method(
    () => z.object({ path: path(), options: opt(z.object({ recursive: flag(), mode: opt(mode()) })) }),
    none,
  ),
  rename: method(() => z.object({ oldPath: path(), newPath: path() }), none),
  copyFile: method(() => z.object({ fromPath: path(), toPath: path() }), none),
  stat: method(onPath, fileInfo),
  lstat: method(onPath, fileInfo),
  chmod: method(() => z.object({ path: path(), mode: mode() }), none),
  chown: method(() => z.object({ path: path(), uid: owner(), gid: owner() }), none),
  link: method(() => z.object({ target: path(), path: path() }), none),
  symlink: method(
    () =>
      z.object({
        target: path(),
        path: path(),
        options: opt(z.object({ type: opt(z.enum(["file", "dir", "junction"])) })),
      }),
    none,
  ),
  readLink: method(onPath, () => z.string()),
  realPath: method(onPath, () => z.string()),
  makeTempDir: method(makeTempParams, () => z.string()),
  makeTempFile: method(makeTempParams, () => z.string()),
  truncate: method(() => z.object({ name: path(), length: opt(count()) }), none),
  umask: method(
    () => z.object({ mask: opt(z.number().check(z.int(), z.nonnegative(), z.maximum(0xffff_ffff))) }),
    () => z.number(),
  ),
  utime: method(() => z.object({ path: path(), atime: time(), mtime: time() }), none),
  open: method(() => z.object({ path: path(), options: opt(openOptions()) }), opened),
  create: method(onPath, opened),
  walk: method(walkParams, streamed),
  expandGlob: method(globParams, streamed),
};

const onHandle = () => z.object({ fileHandleId: count() });

export const FILE_HANDLE_METHODS = {
  fileRead: method(
    () => z.object({ fileHandleId: count(), length: count() }),
    () => z.object({ data: z.nullable(bytes()) }),
  ),
  fileWrite: method(
    () => z.object({ fileHandleId: count(), data: bytes() }),
    () => z.object({ bytesWritten: count() }),
  ),
  fileSeek: method(
    () =>
      z.object({
        fileHandleId: count(),
        offset: z.union([z.number().check(z.int()), z.string().check(z.regex(/^[+-]?\d{1,20}$/))]),
        whence: z.union([z.literal(0), z.literal(1), z.literal(2)]),
      }),
    () => z.object({ position: z.number() }),
  ),
  fileStat: method(onHandle, fileInfo),
  /** `size` is what the SDK for Python says for `len`. */
  fileTruncate: method(() => z.object({ fileHandleId: count(), len: opt(count()), size: opt(count()) }), none),
  fileSync: method(onHandle, none),
  fileSyncData: method(onHandle, none),
  fileLock: method(() => z.object({ fileHandleId: count(), exclusive: flag() }), none),
  fileUnlock: method(onHandle, none),
  fileClose: method(onHandle, none),
  fileUtime: method(() => z.object({ fileHandleId: count(), atime: time(), mtime: time() }), none),
};
