/** Ids have the published form, and a reference never means another sandbox than the one it names. */
import { test } from "node:test";
import assert from "node:assert/strict";
import { findSandbox, newSandboxId, SANDBOX_ID } from "../../../src/runtime/local/sandbox-id.ts";
import type { SandboxRow } from "../../../src/store/sandbox-store.ts";
import { sampleSandbox } from "../store/sample-sandbox.ts";

function row(id: string, name: string | null, status: SandboxRow["status"] = "running"): SandboxRow {
  const nothing = { startedAt: null, stoppedAt: null, expiresAt: null, reason: null, detail: null };
  const rest = { status, supervisor: null, vmPid: null, isPaused: false };
  return { ...sampleSandbox({ id: `sbx_loc_${id}`, name }), ...nothing, ...rest };
}

const ROWS = [
  row("aaaa0000000000000000", "web"),
  row("aaab0000000000000000", "web2"),
  row("bbbb0000000000000000", null),
  row("cccc0000000000000000", "old", "stopped"),
  row("cccd0000000000000000", "old", "stopped"),
  row("dddd0000000000000000", "bb", "stopped"),
];

test("ids are of the published form, and differ", () => {
  const ids = Array.from({ length: 500 }, newSandboxId);
  for (const id of ids) assert.match(id, SANDBOX_ID);
  assert.equal(new Set(ids).size, ids.length);
  for (const letter of ["i", "l", "o"]) assert.ok(!ids.some((id) => id.slice(8).includes(letter)));
});

for (const [ref, meant] of [
  ["sbx_loc_aaaa0000000000000000", "aaaa"],
  ["web", "aaaa"],
  ["web2", "aaab"],
  ["sbx_loc_b", "bbbb"],
  ["bbb", "bbbb"],
  ["aaab", "aaab"],
  ["old", "cccc"],
  ["sbx_loc_cccd", "cccd"],
  ["ol", "ambiguous"],
  ["we", "ambiguous"],
  ["aaa", "ambiguous"],
  ["sbx_loc_", "ambiguous"],
  ["", "nothing"],
  ["WEB", "nothing"],
  ["zzz", "nothing"],
] as const) {
  test(`${JSON.stringify(ref)} means ${meant}`, () => {
    if (meant === "ambiguous") assert.throws(() => findSandbox(ROWS, ref), { code: "sandbox_ambiguous" });
    else if (meant === "nothing") assert.throws(() => findSandbox(ROWS, ref), { code: "sandbox_not_found" });
    else assert.equal(findSandbox(ROWS, ref).id.slice(8, 12), meant);
  });
}

test("the whole name of a stopped sandbox never means a live one whose id or name begins with it", () => {
  assert.equal(findSandbox(ROWS, "bb").name, "bb");
  const stopped = row("eeee0000000000000000", "we", "stopped");
  assert.equal(findSandbox([...ROWS, stopped], "we").id, stopped.id);
});

test("an ambiguous reference names a handful of those it may mean", () => {
  const many = Array.from({ length: 8 }, (_, n) => row(`a${n}`.padEnd(20, "0"), `web-${n}`));
  assert.throws(() => findSandbox(many, "web"), {
    message: '"web" may mean web-0, web-1, web-2, web-3, web-4, and 3 more',
    hint: "sbx list",
  });
});
