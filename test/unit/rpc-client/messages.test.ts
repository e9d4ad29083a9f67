/** Envelopes, error objects, notifications, base64 and binary frames: what both ends of the RPC say and refuse. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  BINARY_HEADER_BYTES,
  decodeBinaryFrame,
  decodeBinaryParts,
  encodeBinaryFrame,
} from "../../../src/protocol/binary-frames.ts";
import { decodeBase64, encodeBase64 } from "../../../src/protocol/rpc-base64.ts";
import { errnoConstructorName, errnoText } from "../../../src/protocol/rpc-errno.ts";
import {
  abortError,
  decodeError,
  encodeError,
  errnoError,
  findSerializedError,
} from "../../../src/protocol/rpc-error.ts";
import { BINARY_CHUNK_BYTES, MAX_STREAM_ID } from "../../../src/protocol/rpc-limits.ts";
import {
  encodeErrorResult,
  encodeFailure,
  encodeNotification,
  encodeRequest,
  encodeResult,
  MessageError,
  type Notification,
  parseClientMessage,
  parseNotification,
  parseServerMessage,
} from "../../../src/protocol/rpc-messages.ts";
import { isExtensionMethod, isRpcMethod, RPC_METHODS } from "../../../src/protocol/rpc-methods.ts";
import { SbxError } from "../../../src/runtime/errors.ts";
import type { SandboxInfo } from "../../../src/runtime/types.ts";
import type { RpcResult } from "../../../src/protocol/rpc-methods.ts";

/** The methods of the published protocol; the SDK calls no others. */
const PUBLISHED = [
  ...["abort", "envGet", "envSet", "envDelete", "envToObject", "readFile", "readTextFile", "writeFile"],
  ...["writeTextFile", "readDir", "remove", "mkdir", "rename", "copyFile", "stat", "lstat", "chmod", "chown", "link"],
  ...["symlink", "readLink", "realPath", "makeTempDir", "makeTempFile", "truncate", "umask", "utime", "open"],
  ...["create", "walk", "expandGlob", "fileRead", "fileWrite", "fileSeek", "fileStat", "fileTruncate", "fileSync"],
  ...["fileSyncData", "fileLock", "fileUnlock", "fileClose", "fileUtime", "spawn", "processWait", "processKill"],
  ...["spawnDeno", "spawnDenoRepl", "denoReplEval", "denoReplCall", "denoReplClose", "denoHttpWait", "fetch"],
  ...["exposeHttp", "vscode"],
];
const EXTENSIONS = ["resize", "connect", "copySend", "copyWait", "copyReceive", "info", "stats"].map((n) => `sbx.${n}`);

function closeCodeOf(act: () => unknown): number {
  try {
    act();
  } catch (error) {
    assert.ok(error instanceof MessageError, String(error));
    return error.closeCode;
  }
  throw new Error("it was accepted");
}

test("requests and replies survive the way, with id 0 and with ids that are strings", () => {
  for (const id of [0, 7, "a"]) {
    assert.deepEqual(parseClientMessage(encodeRequest(id, "stat", { path: "/" })), {
      kind: "request",
      id,
      method: "stat",
      params: { path: "/" },
    });
    assert.deepEqual(parseServerMessage(encodeResult(id, [1])), { kind: "reply", id, outcome: { ok: [1] } });
    const error = { constructorName: "NotFound", message: "no", code: "ENOENT" };
    assert.deepEqual(parseServerMessage(encodeErrorResult(id, error)), { kind: "reply", id, outcome: { error } });
    assert.deepEqual(parseServerMessage(encodeFailure(id, -32601, "Method not found")), {
      kind: "failure",
      id,
      code: -32601,
      message: "Method not found",
      data: undefined,
    });
  }
});

test("a reply always has `ok`, because clients refuse one without", () => {
  assert.equal(encodeResult(1, undefined), '{"jsonrpc":"2.0","id":1,"result":{"ok":null}}');
  assert.equal(encodeResult(1, null), '{"jsonrpc":"2.0","id":1,"result":{"ok":null}}');
});

test("an error that is none beside `ok` is passed over, a real one wins", () => {
  const reply = (result: unknown): unknown => parseServerMessage(JSON.stringify({ jsonrpc: "2.0", id: 1, result }));
  assert.deepEqual(reply({ ok: 1, error: null }), { kind: "reply", id: 1, outcome: { ok: 1 } });
  const error = { constructorName: "Error", message: "x" };
  assert.deepEqual(reply({ ok: 1, error }), { kind: "reply", id: 1, outcome: { error } });
});

test("what is no JSON closes with 4000, what is no message with 4001", () => {
  for (const text of ["", "{", "pong", "undefined"]) {
    assert.equal(
      closeCodeOf(() => parseClientMessage(text)),
      4000,
    );
    assert.equal(
      closeCodeOf(() => parseServerMessage(text)),
      4000,
    );
  }
  for (const text of [
    "null",
    "[]",
    "1",
    "{}",
    '{"jsonrpc":"1.0","id":1,"method":"x"}',
    '{"jsonrpc":"2.0","id":null,"method":"x"}',
    '{"jsonrpc":"2.0","id":1.5,"method":"x"}',
    '{"jsonrpc":"2.0","id":{},"method":"x"}',
    '{"jsonrpc":"2.0","id":1}',
    '[{"jsonrpc":"2.0","id":1,"method":"x"}]',
  ]) {
    assert.equal(
      closeCodeOf(() => parseClientMessage(text)),
      4001,
      text,
    );
  }
  assert.equal(
    closeCodeOf(() => parseServerMessage('{"jsonrpc":"2.0","id":1,"method":"x"}')),
    4001,
  );
  assert.equal(
    closeCodeOf(() => parseServerMessage('{"jsonrpc":"2.0","id":null,"result":{"ok":1}}')),
    4001,
  );
});

test("notifications of streams survive the way", () => {
  const error = { constructorName: "Error", message: "x" };
  const all: Notification[] = [
    { method: "$sandbox.stream.start", streamId: 0 },
    { method: "$sandbox.stream.enqueue", streamId: MAX_STREAM_ID, data: "AA==" },
    { method: "$sandbox.stream.end", streamId: 1 },
    { method: "$sandbox.stream.error", streamId: 1, error },
    { method: "$sandbox.stream.error", streamId: 1, error: null },
    { method: "$sandbox.stream.cancel", streamId: 1, reason: error },
    { method: "$sbx.stream.credit", streamId: 1, bytes: 5 },
    { method: "$sandbox.deno.watcher.restart", watcherId: "w" },
  ];
  for (const notification of all) {
    const message = parseClientMessage(encodeNotification(notification));
    assert.equal(message.kind, "notification");
    assert.deepEqual(parseNotification({ ...message, kind: "notification" }), notification);
  }
});

test("unknown notifications are ignored, known ones with wrong params close the connection", () => {
  const parse = (method: string, params: unknown): unknown =>
    parseNotification({ kind: "notification", method, params });
  assert.equal(parse("$sandbox.whatever", {}), undefined);
  assert.deepEqual(parse("$sandbox.stream.error", { streamId: 1, error: "a bare string" }), {
    method: "$sandbox.stream.error",
    streamId: 1,
    error: { constructorName: "Error", message: "a bare string" },
  });
  for (const streamId of [undefined, null, -1, 1.5, 2 ** 48, "1"]) {
    assert.equal(
      closeCodeOf(() => parse("$sandbox.stream.end", { streamId })),
      4001,
    );
  }
  assert.equal(
    closeCodeOf(() => parse("$sandbox.stream.enqueue", { streamId: 1, data: 5 })),
    4001,
  );
  for (const bytes of [0, -1, 0.5, 2 ** 60, "1", undefined]) {
    assert.equal(
      closeCodeOf(() => parse("$sbx.stream.credit", { streamId: 1, bytes })),
      4001,
    );
  }
  assert.equal(
    closeCodeOf(() => parse("$sandbox.stream.start", null)),
    4001,
  );
});

test("an error keeps class, code, cause and what sbx adds, and loses its stack", () => {
  const cause = Object.assign(new Error("inner"), { code: "EIO" });
  const error = Object.assign(new TypeError("outer", { cause }), { path: "/p" });
  const encoded = encodeError(error);
  assert.deepEqual(encoded, {
    constructorName: "TypeError",
    message: "outer",
    sbx: { path: "/p" },
    cause: { constructorName: "Error", message: "inner", code: "EIO" },
  });
  const decoded = decodeError(encoded);
  assert.equal(decoded.constructorName, "TypeError");
  assert.equal(decoded.detail.path, "/p");
  assert.equal((decoded.cause as Error).message, "inner");
});

test("an SbxError crosses with its code and hint", () => {
  const encoded = encodeError(new SbxError("disk_full", "full", { hint: "df" }));
  assert.deepEqual(findSerializedError(JSON.parse(JSON.stringify(encoded)))?.sbx, { code: "disk_full", hint: "df" });
  assert.deepEqual(findSerializedError({ constructorName: "E", message: "", sbx: { code: "made_up" } })?.sbx, {});
});

test("an abort is a DOMException whose code is null, or the SDK would throw while decoding it", () => {
  assert.deepEqual(abortError(), {
    constructorName: "DOMException",
    name: "AbortError",
    message: "The signal has been aborted",
    code: null,
  });
  assert.equal(encodeError(new DOMException("x", "AbortError")).code, null);
  assert.equal(encodeError(Object.assign(new Error("x"), { name: "AbortError", code: "ABORT_ERR" })).code, null);
});

test("errno names become the classes and words that Deno has for them", () => {
  assert.deepEqual(errnoError("ENOENT", "readfile '/x'", "/x"), {
    constructorName: "NotFound",
    message: "No such file or directory (os error 2): readfile '/x'",
    code: "ENOENT",
    sbx: { path: "/x" },
  });
  const classes = Object.entries({
    EACCES: "PermissionDenied",
    EPERM: "PermissionDenied",
    EEXIST: "AlreadyExists",
    ENOTDIR: "NotADirectory",
    EISDIR: "IsADirectory",
    ELOOP: "FilesystemLoop",
    EBADF: "BadResource",
    EPIPE: "BrokenPipe",
    EBUSY: "Busy",
    ECONNREFUSED: "ConnectionRefused",
    ETIMEDOUT: "TimedOut",
    EINVAL: "TypeError",
    ENOTEMPTY: "Error",
    EWHATEVER: "Error",
    constructor: "Error",
  });
  for (const [code, name] of classes) assert.equal(errnoConstructorName(code), name, code);
  assert.equal(errnoText("EWHATEVER"), "EWHATEVER");
});

test("a hostile error object is cut to bounds: depth, number and length", () => {
  let nested: unknown = { constructorName: "Error", message: "deepest" };
  for (let depth = 0; depth < 100; depth++) nested = { constructorName: "Error", message: "m", cause: nested };
  const errors = Array.from({ length: 10_000 }, () => ({ constructorName: "Error", message: "x".repeat(100) }));
  const hostile = { constructorName: "C".repeat(9999), message: "M".repeat(1e6), cause: nested, errors, code: 5 };
  const read = findSerializedError(hostile);
  assert.ok(read !== undefined);
  assert.ok(JSON.stringify(read).length < 100_000);
  assert.equal(read.code, undefined);
  for (const nothing of [undefined, null, 5, [], {}, { constructorName: "E" }, { message: "m" }]) {
    assert.equal(findSerializedError(nothing), undefined);
  }
});

test("base64 is what was encoded, and what is not base64 is refused", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
      assert.deepEqual(Buffer.from(bytes), decodeBase64(encodeBase64(bytes)));
    }),
  );
  for (const text of ["a", "ab", "abc", "ab=", "a===", "ab c", "a\nbc", "****", "abcd=", "ab==cd=="]) {
    assert.throws(() => decodeBase64(text), /invalid base64/, JSON.stringify(text));
  }
});

test("a binary frame gives back id and payload, however the message was cut", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: MAX_STREAM_ID }),
      fc.uint8Array({ minLength: 1, maxLength: 50 }),
      fc.integer({ min: 1, max: 20 }),
      (streamId, payload, cut) => {
        const message = encodeBinaryFrame(streamId, payload);
        assert.equal(message.length, payload.length + BINARY_HEADER_BYTES);
        assert.deepEqual(decodeBinaryFrame(message), { streamId, payload: Buffer.from(payload) });
        const parts: Buffer[] = [];
        for (let at = 0; at < message.length; at += cut) parts.push(message.subarray(at, at + cut));
        const decoded = decodeBinaryParts(parts, message.length);
        assert.equal(decoded.streamId, streamId);
        assert.equal(decoded.payloadBytes, payload.length);
        assert.ok(Buffer.concat(decoded.payload).equals(payload));
      },
    ),
  );
});

test("binary frames that are empty, too long, of another kind or of an impossible id are refused", () => {
  assert.throws(() => encodeBinaryFrame(1, Buffer.alloc(0)), RangeError);
  assert.throws(() => encodeBinaryFrame(1, Buffer.alloc(BINARY_CHUNK_BYTES + 1)), RangeError);
  for (const id of [-1, 1.5, 2 ** 48, NaN]) assert.throws(() => encodeBinaryFrame(id, Buffer.alloc(1)), RangeError);
  assert.throws(() => decodeBinaryFrame(Buffer.alloc(8)), RangeError);
  assert.throws(() => decodeBinaryFrame(Buffer.alloc(3)), RangeError);
  assert.throws(() => decodeBinaryFrame(Buffer.alloc(BINARY_HEADER_BYTES + BINARY_CHUNK_BYTES + 1, 1)), RangeError);
  const wrong = encodeBinaryFrame(1, Buffer.alloc(1));
  wrong[1] = 1;
  assert.throws(() => decodeBinaryFrame(wrong), RangeError);
  assert.throws(() => decodeBinaryParts([Buffer.alloc(4), Buffer.alloc(5)], 9), RangeError);
});

test("every method has schemas for its params and its result, and names of Object are no methods", () => {
  for (const [name, row] of Object.entries(RPC_METHODS)) {
    assert.equal(typeof row.params.safeParse, "function", name);
    assert.equal(typeof row.result.safeParse, "function", name);
    assert.equal(row.params, row.params, "built once");
  }
  assert.deepEqual(Object.keys(RPC_METHODS).sort(), [...PUBLISHED, ...EXTENSIONS].sort());
  for (const name of ["constructor", "toString", "__proto__", "hasOwnProperty", "nothing"]) {
    assert.equal(isRpcMethod(name), false, name);
  }
  assert.equal(isExtensionMethod("sbx.resize"), true);
  assert.equal(isExtensionMethod("spawn"), false);
});

test("params: null means absent, unknown keys are dropped, and either-or is enforced", () => {
  const { spawn, writeFile, spawnDeno, exposeHttp, utime, fileSeek, chown } = RPC_METHODS;
  const parsed = spawn.params.parse({ command: "x", args: null, stdout: "piped", stderr: "null", stdin: "null" });
  assert.equal("stdin" in parsed, false);
  assert.equal(writeFile.params.safeParse({ path: "a", content: "" }).success, true);
  assert.equal(writeFile.params.safeParse({ path: "a", contentStreamId: 0, content: null }).success, true);
  assert.equal(writeFile.params.safeParse({ path: "a" }).success, false);
  assert.equal(writeFile.params.safeParse({ path: "a", content: "", contentStreamId: 1 }).success, false);
  const stdio = { stdout: "piped", stderr: "piped" };
  assert.equal(spawnDeno.params.safeParse({ ...stdio, entrypoint: "m.ts", watch: ["a"] }).success, true);
  assert.equal(spawnDeno.params.safeParse({ ...stdio, entrypoint: "m.ts", code: "1" }).success, false);
  assert.equal(exposeHttp.params.safeParse({ domain: "d", port: 65_536 }).success, false);
  assert.equal(exposeHttp.params.safeParse({ domain: "d", pid: 5 }).success, true);
  assert.equal(utime.params.safeParse({ path: "a", atime: "2024-01-01T00:00:00.000Z", mtime: "soon" }).success, false);
  for (const offset of [-5, "9007199254740993", "-1"]) {
    assert.equal(fileSeek.params.safeParse({ fileHandleId: 0, offset, whence: 2 }).success, true);
  }
  assert.equal(fileSeek.params.safeParse({ fileHandleId: 0, offset: "1e5", whence: 0 }).success, false);
  assert.equal(chown.params.safeParse({ path: "a", uid: null, gid: 5 }).success, true);
  assert.equal(chown.params.safeParse({ path: "a", gid: 5 }).success, false);
});

test("what sbx.info answers is the Runtime's own description of a sandbox", () => {
  // Assignable both ways, or this file does not compile.
  const there = (info: RpcResult<"sbx.info">): SandboxInfo => info;
  const back = (info: SandboxInfo): RpcResult<"sbx.info"> => info;
  assert.equal(there === (back as unknown), false);
});
