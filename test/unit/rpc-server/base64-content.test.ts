/** A whole file in one message: its base64 is made piece by piece, and the pieces are one text. */
import assert from "node:assert/strict";
import { randomBytes, randomInt } from "node:crypto";
import { test } from "node:test";
import { Base64Content } from "../../../src/supervisor/rpc/base64-content.ts";
import { openBench } from "./rpc-harness.ts";

function encode(bytes: Buffer, cut: () => number): string {
  const content = new Base64Content();
  for (let at = 0, end = 0; at < bytes.length; at = end) {
    end = at + cut();
    content.push(bytes.subarray(at, end));
  }
  return Buffer.concat(content.finish()).toString("latin1");
}

test("pieces of any length make the base64 of the whole", () => {
  for (const length of [0, 1, 2, 3, 4, 5, 64, 1000, 100_001]) {
    const bytes = randomBytes(length);
    const expected = bytes.toString("base64");
    assert.equal(
      encode(bytes, () => 1),
      expected,
    );
    assert.equal(
      encode(bytes, () => randomInt(1, 10)),
      expected,
    );
    assert.equal(
      encode(bytes, () => 65_536),
      expected,
    );
  }
});

test("bytes may change once they were pushed", () => {
  const bytes = Buffer.from("abcd");
  const content = new Base64Content();
  content.push(bytes);
  bytes.fill(0);
  content.push(Buffer.from("ef"));
  assert.equal(Buffer.concat(content.finish()).toString(), Buffer.from("abcdef").toString("base64"));
});

test("of files and other answers at one time, each message is whole", async (t) => {
  const file = randomBytes(3_000_000);
  const bench = await openBench(t, {
    "fs.readFile": async ({ stream }, agent) => {
      await agent.produceAll(stream, file);
      return null;
    },
  });
  const { client } = await bench.connect();
  const files = Array.from({ length: 4 }, () => client.request("readFile", { path: "f" }));
  const others = Array.from({ length: 50 }, (_, index) => client.request("envGet", { key: `KEY_${index}` }));
  for (const id of files) assert.equal((await client.reply(id)).result?.ok, file.toString("base64"));
  for (const id of others) assert.equal((await client.reply(id)).result?.ok, null);
});
