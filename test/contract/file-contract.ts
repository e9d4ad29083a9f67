/** Files of the guest, copies both ways, and connections into it. */
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { run } from "../../src/library/run.ts";
import type { Place } from "./place.ts";

export function fileContract(place: () => Place): void {
  test("a file is written, read in parts, looked at and removed", async () => {
    const { files } = place().sandbox;
    await files.makeDirectory("/tmp/a/b");
    await files.write("/tmp/a/b/text", "0123456789", { mode: 0o640 });
    await files.write("/tmp/a/b/text", "x", { existing: "append" });
    await assert.rejects(files.write("/tmp/a/b/text", "y", { existing: "refuse" }), { code: "guest_error" });
    assert.equal(Buffer.from(await files.read("/tmp/a/b/text", { offset: 8, maxBytes: 2 })).toString(), "89");
    const { kind, sizeBytes, mode } = await files.stat("/tmp/a/b/text");
    assert.deepEqual({ kind, sizeBytes, mode: mode & 0o777 }, { kind: "file", sizeBytes: 11, mode: 0o640 });
    assert.deepEqual(await files.list("/tmp/a"), [{ name: "b", kind: "directory" }]);
    await files.remove("/tmp/a", { recursive: true });
    await assert.rejects(files.stat("/tmp/a"), { code: "guest_error" });
  });

  test("a directory is copied there and back as it was", async () => {
    const { sandbox, scratchPath } = place();
    const source = path.join(scratchPath, "source");
    mkdirSync(path.join(source, "deep"), { recursive: true });
    writeFileSync(path.join(source, "deep", "file"), Buffer.alloc(300_000, 7));
    const up = await sandbox.upload([source], "/tmp/copied");
    assert.deepEqual([up.files, up.bytes, up.skipped], [1, 300_000, []]);
    const back = path.join(scratchPath, "back");
    await sandbox.download(["/tmp/copied"], back);
    assert.ok(readFileSync(path.join(back, "deep", "file")).equals(Buffer.alloc(300_000, 7)));
    await sandbox.transfer(["/tmp/copied/deep/file"], sandbox, "/tmp/again");
    assert.equal((await sandbox.files.stat("/tmp/again")).sizeBytes, 300_000);
  });

  test("a server in the sandbox is reached, and one that there is not is not", async () => {
    const { sandbox } = place();
    const server = "require('net').createServer((c) => c.end('hello')).listen('/tmp/door', () => console.log('up'))";
    await using session = await sandbox.exec({ argv: ["node", "-e", server] });
    for await (const _line of session.stdout) break;
    const tunnel = await sandbox.openTunnel({ path: "/tmp/door" });
    const chunks: Buffer[] = [];
    for await (const chunk of tunnel as AsyncIterable<Buffer>) chunks.push(chunk);
    assert.equal(Buffer.concat(chunks).toString(), "hello");
    session.signal("SIGKILL");
    await assert.rejects(sandbox.openTunnel({ port: 9 }), { name: "SbxError" });
  });

  test("SSH answers, and its key is known by the name that the client has", async () => {
    const { runtime, sandbox } = place();
    const { stream, sandboxId } = await runtime.ssh.open("contract", { hostName: "contract.place.sbx" });
    assert.equal(sandboxId, sandbox.id);
    const { knownHostsPath, serverKnownHostsPath } = await runtime.ssh.files();
    const known = [knownHostsPath, serverKnownHostsPath].map((file) => readOrEmpty(file)).join("");
    assert.match(known, new RegExp(`^contract\\.place\\.sbx ssh-ed25519 \\S+ ${sandboxId}$`, "m"));
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      assert.match(chunk.toString("latin1"), /^SSH-2\.0-/);
      break;
    }
  });

  test("what a command of this machine's user could not do, a copy cannot", async () => {
    const { sandbox, scratchPath } = place();
    writeFileSync(path.join(scratchPath, "one"), "1");
    await assert.rejects(sandbox.upload([path.join(scratchPath, "one")], "/etc/one"), { name: "SbxError" });
    assert.equal((await run(sandbox, ["test", "-e", "/etc/one"])).code, 1);
  });
}

function readOrEmpty(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return ""; // Which of the two is written to is the place's affair.
  }
}
