/** The files of revisions on this machine: kept once, within their limit, and gone when nobody has them. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { test, type TestContext } from "node:test";
import { ContentStore, type StoredContent } from "../../../src/runtime/local/apps/content-store.ts";
import { temporaryDirectory } from "../store/temporary-directory.ts";

interface Bench {
  store: ContentStore;
  directory: string;
  used: Set<string>;
  /** Keeps an archive for a revision. */
  keep: (text: string, maxBytes?: number) => Promise<StoredContent>;
}

function open(t: TestContext): Bench {
  const directory = path.join(temporaryDirectory(t), "contents");
  const used = new Set<string>();
  const lock = async (): Promise<AsyncDisposable> => ({ [Symbol.asyncDispose]: async () => undefined });
  const store = new ContentStore({ directory, lock, isUsed: (sha256) => used.has(sha256) });
  const keep: Bench["keep"] = async (text, maxBytes = 1000) => {
    let kept: StoredContent | undefined;
    await store.store(pieces(text), maxBytes, (content) => {
      used.add(content.sha256);
      kept = content;
    });
    assert.ok(kept !== undefined);
    return kept;
  };
  return { store, directory, used, keep };
}

async function* pieces(text: string): AsyncIterable<Uint8Array> {
  for (const character of text) yield Buffer.from(character);
}

test("an archive is kept under its hash, once, and read back as it was", async (t) => {
  const { store, directory, keep } = open(t);
  const one = await keep("content");
  assert.deepEqual(await keep("content"), one);
  assert.deepEqual(readdirSync(directory), [`${one.sha256}.tar`]);
  const { bytes, chunks } = await store.read(one.sha256);
  const read: Uint8Array[] = [];
  for await (const chunk of chunks) read.push(chunk);
  assert.deepEqual([bytes, Buffer.concat(read).toString()], [7, "content"]);
});

test("one that is too large, or breaks off, leaves nothing", async (t) => {
  const { store, directory, keep } = open(t);
  await assert.rejects(keep("content", 6), { code: "usage" });
  async function* broken(): AsyncIterable<Uint8Array> {
    yield Buffer.from("half");
    throw new Error("it broke off");
  }
  await assert.rejects(
    store.store(broken(), 1000, () => assert.fail("it is not whole")),
    /it broke off/,
  );
  assert.deepEqual(readdirSync(directory), []);
});

test("one that a revision has stays, one that none has any more goes", async (t) => {
  const { store, directory, used, keep } = open(t);
  const { sha256 } = await keep("content");
  await store.forget(sha256);
  assert.equal(readFileSync(store.pathOf(sha256), "utf8"), "content");
  used.clear();
  await store.forget(sha256);
  assert.deepEqual(readdirSync(directory), []);
  await assert.rejects(store.read(sha256), { code: "state_broken" });
});

test("what dead processes left is removed, what a living one writes is not", async (t) => {
  const { store, directory, used, keep } = open(t);
  const { sha256 } = await keep("content");
  const gone = await keep("gone");
  used.delete(gone.sha256);
  for (const name of [".new-4194304-ab", `.new-${process.pid}-ab`, "other"])
    writeFileSync(path.join(directory, name), "");
  await store.removeLeftovers();
  assert.deepEqual(readdirSync(directory).sort(), [`.new-${process.pid}-ab`, `${sha256}.tar`, "other"].sort());
});
