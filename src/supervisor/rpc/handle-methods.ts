/**
 * Open files: `open`, `create` and the calls on handles. Operations on one handle run one after the other, in the order
 * in which they came, as all of them move its position; only a lock may wait beside them.
 */
import { AgentError } from "../../guest/link.ts";
import { decodeBase64, encodeBase64 } from "../../protocol/rpc-base64.ts";
import type { RpcParams } from "../../protocol/rpc-methods.ts";
import { callErrno, CallError, callTypeError, describing, onPath } from "./call-error.ts";
import { toFileInfo } from "./file-info.ts";
import { modeBits, toEpochMs } from "./file-methods.ts";
import type { Call, Handlers } from "./session.ts";

type Methods =
  | "open"
  | "create"
  | "fileRead"
  | "fileWrite"
  | "fileSeek"
  | "fileStat"
  | "fileTruncate"
  | "fileSync"
  | "fileSyncData"
  | "fileLock"
  | "fileUnlock"
  | "fileClose"
  | "fileUtime";

/** What the agent reads or writes in one call. */
const MAX_TRANSFER_BYTES = 512 * 1024;
const INT64_MAX = 2n ** 63n - 1n;

type OpenOptions = NonNullable<RpcParams<"open">["options"]>;

export const HANDLE_HANDLERS: Handlers<Methods> = {
  open: async (call, { path, options }) => open(call, path, options ?? {}),
  create: async (call, { path }) => open(call, path, { read: true, write: true, create: true, truncate: true }),
  fileRead: async ({ session }, { fileHandleId, length }) => {
    const { link } = session.state;
    const { data } = await session.files.use(fileHandleId, async (handle, path) => {
      const params = { handle, length: Math.min(length, MAX_TRANSFER_BYTES) };
      // A read of nothing is not the end of the file.
      return length === 0 ? { data: "" } : describing(onPath("read", path), link.call("file.read", params));
    });
    if (data === null) return { data };
    return { data: encodeBase64(readAtMost(data, length)) };
  },
  fileWrite: async ({ session, signal }, { fileHandleId, data }) => {
    const bytes = decodeData(data);
    const { link } = session.state;
    return session.files.use(fileHandleId, async (handle, path) => {
      let bytesWritten = 0;
      while (bytesWritten < bytes.length && !signal.aborted) {
        const part = encodeBase64(bytes.subarray(bytesWritten, bytesWritten + MAX_TRANSFER_BYTES));
        const work = link.call("file.write", { handle, data: part });
        const { written } = await describing(onPath("write", path), work);
        if (written === 0) break;
        bytesWritten = Math.min(bytes.length, bytesWritten + written);
      }
      return { bytesWritten };
    });
  },
  fileSeek: async ({ session }, { fileHandleId, offset, whence }) => {
    const { link } = session.state;
    const params = { offset: readOffset(offset), whence };
    return session.files.use(fileHandleId, async (handle, path) =>
      describing(onPath("seek", path), link.call("file.seek", { handle, ...params })),
    );
  },
  fileStat: async ({ session }, { fileHandleId }) =>
    session.files.use(fileHandleId, async (handle, path) =>
      toFileInfo(await describing(onPath("fstat", path), session.state.link.call("file.stat", { handle }))),
    ),
  fileTruncate: async ({ session }, { fileHandleId, len, size }) =>
    session.files.use(fileHandleId, async (handle, path) =>
      describing(
        onPath("ftruncate", path),
        session.state.link.call("file.truncate", { handle, length: len ?? size ?? 0 }),
      ),
    ),
  fileSync: async (call, { fileHandleId }) => sync(call, fileHandleId, false),
  fileSyncData: async (call, { fileHandleId }) => sync(call, fileHandleId, true),
  fileLock: async ({ session, signal }, { fileHandleId, exclusive }) => {
    const { handle, path } = session.files.peek(fileHandleId);
    const params = { handle, exclusive: exclusive ?? false };
    return describing(onPath("lock", path), session.state.link.call("file.lock", params, { signal }));
  },
  fileUnlock: async ({ session }, { fileHandleId }) =>
    session.files.use(fileHandleId, async (handle, path) =>
      describing(onPath("unlock", path), session.state.link.call("file.unlock", { handle })),
    ),
  fileClose: async ({ session }, { fileHandleId }) => {
    await session.files.close(fileHandleId);
    return null;
  },
  fileUtime: async ({ session }, { fileHandleId, atime, mtime }) =>
    session.files.use(fileHandleId, async (handle, path) => {
      const params = { handle, atime: toEpochMs(atime), mtime: toEpochMs(mtime) };
      return describing(onPath("futime", path), session.state.link.call("file.utime", params));
    }),
};

/**
 * Opens as Deno does, but for `read`, which is true unless it is false: the SDK's documentation reads through a
 * handle that was opened for writing. A file that may only be written is then opened for that alone.
 */
async function open({ session }: Call, path: string, options: OpenOptions): Promise<{ fileHandleId: number }> {
  session.files.assertRoom();
  const { state } = session;
  const absolute = state.resolvePath(path);
  const append = options.append ?? false;
  const write = (options.write ?? false) || append;
  const read = options.read ?? true;
  const { truncate, create, createNew } = options;
  const changes = truncate === true || create === true || createNew === true;
  if ((!read && !write) || (changes && !write) || (append && truncate === true)) {
    throw callErrno("EINVAL", onPath("open", path));
  }
  const params = {
    path: absolute,
    user: state.user,
    read,
    write,
    append,
    truncate: truncate ?? false,
    create: create ?? false,
    createNew: createNew ?? false,
    mode: modeBits(options.mode),
  };
  try {
    const { handle } = await state.link.call("fs.open", params);
    return { fileHandleId: session.files.add(handle, path) };
  } catch (error) {
    const isGuess = options.read == null && write && error instanceof AgentError && error.code === "EACCES";
    if (!isGuess) return describing(onPath("open", path), Promise.reject(error as Error));
  }
  const { handle } = await describing(onPath("open", path), state.link.call("fs.open", { ...params, read: false }));
  return { fileHandleId: session.files.add(handle, path) };
}

async function sync({ session }: Call, fileHandleId: number, dataOnly: boolean): Promise<null> {
  return session.files.use(fileHandleId, async (handle, path) =>
    describing(onPath("sync", path), session.state.link.call("file.sync", { handle, dataOnly })),
  );
}

/** What the guest read, cut to what was asked for: a client dies of more. */
function readAtMost(data: string, length: number): Buffer {
  let bytes: Buffer;
  try {
    bytes = decodeBase64(data);
  } catch {
    throw new CallError({ constructorName: "InvalidData", message: "the guest agent sent data that is not base64" });
  }
  return bytes.subarray(0, length);
}

function decodeData(data: string): Buffer {
  try {
    return decodeBase64(data);
  } catch {
    throw callTypeError("data is not base64");
  }
}

/** @throws CallError if the offset does not fit 64 bits */
function readOffset(offset: number | string): string {
  const value = BigInt(offset);
  if (value > INT64_MAX || value < -INT64_MAX) throw callErrno("EOVERFLOW", `seek to ${value}`);
  return value.toString();
}
