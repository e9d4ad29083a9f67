/** Single files of a sandbox over the RPC, against a server that does as the test says. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { RpcParams } from "../../../src/protocol/rpc-methods.ts";
import { SbxError } from "../../../src/runtime/errors.ts";
import { connectRpc } from "../../../src/runtime/sandbox/rpc-client.ts";
import { RpcGuestFiles } from "../../../src/runtime/sandbox/guest-files.ts";
import { Answer, type Methods, startFakeServer } from "./fake-server.ts";

const MIB = 1024 ** 2;

/** One file, which any number of handles read and write. */
class FakeFile {
  content: Buffer = Buffer.alloc(0);
  readonly opened: RpcParams<"open">[] = [];
  readonly closed: number[] = [];
  /** What one read or write moves at most. */
  most = Number.POSITIVE_INFINITY;
  readError: string | undefined;
  closeError: string | undefined;
  #position = 0;

  get methods(): Methods {
    return {
      open: (params) => {
        if (params.path === "/none") throw new Answer(failure("ENOENT", "no such file"));
        this.opened.push(params);
        this.#position = params.options?.append === true ? this.content.length : 0;
        if (params.options?.truncate === true) this.content = Buffer.alloc(0);
        return { fileHandleId: this.opened.length };
      },
      fileSeek: ({ offset }) => ({ position: (this.#position = Number(offset)) }),
      fileRead: ({ length }) => {
        if (this.readError !== undefined) throw new Answer(failure("EIO", this.readError));
        const part = this.content.subarray(this.#position, this.#position + Math.min(length, this.most));
        this.#position += part.length;
        return { data: part.length === 0 ? null : part.toString("base64") };
      },
      fileWrite: ({ data }) => {
        const bytes = Buffer.from(data, "base64").subarray(0, this.most);
        this.content = Buffer.concat([this.content.subarray(0, this.#position), bytes]);
        this.#position += bytes.length;
        return { bytesWritten: bytes.length };
      },
      fileClose: ({ fileHandleId }) => {
        this.closed.push(fileHandleId);
        if (this.closeError !== undefined) throw new Answer(failure("ENOSPC", this.closeError));
        return null;
      },
      readDir: () => [
        { name: "b", isFile: true, isDirectory: false, isSymlink: false },
        { name: "a", isFile: false, isDirectory: true, isSymlink: false },
        { name: "c", isFile: false, isDirectory: false, isSymlink: true },
        { name: "d", isFile: false, isDirectory: false, isSymlink: false },
      ],
    };
  }
}

function failure(code: string, message: string) {
  return { constructorName: "Error", name: "Error", message, code };
}

async function stage(): Promise<AsyncDisposable & { file: FakeFile; files: RpcGuestFiles }> {
  const file = new FakeFile();
  const server = await startFakeServer({ methods: file.methods });
  const client = await connectRpc({ socketPath: server.socketPath });
  return {
    ...{ file, files: new RpcGuestFiles(client) },
    async [Symbol.asyncDispose]() {
      await client.close();
      await server[Symbol.asyncDispose]();
    },
  };
}

test("a file of any size is written and read in pieces, whatever the other end takes at a time", async () => {
  await using it = await stage();
  it.file.most = 300_001;
  const content = Buffer.alloc(3 * MIB + 7, "0123456789abcdef-");
  await it.files.write("/app/big", content);
  assert.ok(it.file.content.equals(content));
  assert.ok(content.equals(await it.files.read("/app/big")));
  assert.deepEqual(it.file.closed, [1, 2]);
});

test("a part is read from its offset, and no more than asked for", async () => {
  await using it = await stage();
  it.file.content = Buffer.from("0123456789");
  assert.equal(Buffer.from(await it.files.read("/f", { offset: 3, maxBytes: 4 })).toString(), "3456");
  assert.equal(Buffer.from(await it.files.read("/f", { offset: 8, maxBytes: 4 })).toString(), "89");
  assert.equal(Buffer.from(await it.files.read("/f", { offset: 20 })).toString(), "");
  assert.equal(Buffer.from(await it.files.read("/f", { maxBytes: 0 })).toString(), "");
});

test("what is there is replaced, added to or refused, as the caller says", async () => {
  await using it = await stage();
  await it.files.write("/f", "first");
  await it.files.write("/f", " ü", { existing: "append" });
  assert.equal(it.file.content.toString(), "first ü");
  await it.files.write("/f", "", { mode: 0o600 });
  assert.equal(it.file.content.length, 0);
  await it.files.write("/f", "x", { existing: "refuse" });
  const options = it.file.opened.map((params) => params.options);
  assert.deepEqual(
    options.map((each) => [each?.truncate, each?.append, each?.createNew, each?.mode]),
    [
      [true, false, false, undefined],
      [false, true, false, undefined],
      [true, false, false, 0o600],
      [false, false, true, undefined],
    ],
  );
});

test("an error names the path and what was wrong, and the file is closed", async () => {
  await using it = await stage();
  const isFailure = (pattern: RegExp) => (error: unknown) =>
    error instanceof SbxError && error.code === "guest_error" && pattern.test(error.message);
  await assert.rejects(it.files.read("/none"), isFailure(/^reading '\/none' failed in the sandbox: no such file$/));
  it.file.readError = "input/output error";
  await assert.rejects(it.files.read("/f"), isFailure(/reading '\/f'.*input\/output error/));
  assert.deepEqual(it.file.closed, [1]);
  it.file.closeError = "no space left";
  await assert.rejects(it.files.write("/f", "x"), isFailure(/writing '\/f'.*no space left/));
  await assert.rejects(it.files.read("/f"), isFailure(/input\/output error/));
});

test("a directory is told by name, with what each entry is", async () => {
  await using it = await stage();
  assert.deepEqual(await it.files.list("/app"), [
    { name: "a", kind: "directory" },
    { name: "b", kind: "file" },
    { name: "c", kind: "symlink" },
    { name: "d", kind: "other" },
  ]);
});
