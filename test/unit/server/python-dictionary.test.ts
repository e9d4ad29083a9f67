import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { pythonDictionary } from "../../../src/server/api/python-dictionary.ts";

const LABELS: Record<string, string>[] = [
  {},
  { team: "a" },
  { "it's": 'a "word"', both: "'\"", path: "C:\\x", line: "a\nb\tc\r\0", grüße: "日本 🙂 \u0085" },
  { "', '": "': '", "}": "{", "": "" },
];

test("dictionaries of labels are read as Python writes them", () => {
  for (const labels of LABELS) {
    const written = execFileSync("python3", ["-c", "import json, sys; print(json.load(sys.stdin), end='')"], {
      ...{ input: JSON.stringify(labels), encoding: "utf8", env: { ...process.env, PYTHONIOENCODING: "utf-8" } },
    });
    assert.deepEqual(pythonDictionary.parse(written), labels, written);
  }
});

test("what is no dictionary of strings is refused", () => {
  for (const text of ["", "{", "{'a'}", "{'a': 1}", "{'a': 'b',}", "{'a': 'b'}}", "{'a': 'b\\'}", "[]", "{'a':'b'}"]) {
    assert.equal(pythonDictionary.safeParse(text).success, false, text);
  }
  assert.equal(pythonDictionary.safeParse(`{'a': '${"x".repeat(5000)}'}`).success, false);
  assert.deepEqual(pythonDictionary.parse("{'a': '\\Uffffffff'}"), { a: "\ufffd" });
});
