/** Lines of `sbx net log`, whose words are the guest's. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { auditJson, auditLine } from "../../../../src/cli/view/audit-view.ts";
import { PLAIN } from "../../../../src/cli/output/palette.ts";
import type { AuditEvent } from "../../../../src/runtime/network.ts";

/** DEL, and controls of eight bits: CSI, OSC, its end. Terminals obey them as they obey escape sequences. */
const CONTROLS = "\u007f\u0080\u009b2J\u009d0;title\u009c\u009f";
const EVENT = {
  time: 0,
  flow: 1,
  kind: "request",
  verdict: "allow",
  host: "api.example.com",
  method: "GET",
  url: `https://api.example.com/${CONTROLS}`,
} as unknown as AuditEvent;

const withKey = { ...EVENT, [CONTROLS]: "key" };

test("an event as JSON has no control character in it, and says the same", () => {
  const line = auditJson(withKey);
  assert.doesNotMatch(line, /[\u0000-\u001f\u007f-\u009f]/);
  assert.ok(line.includes("\\u009b2J\\u009d0;title\\u009c\\u009f"));
  const expected = { ...withKey, time: "1970-01-01T00:00:00.000Z" };
  assert.deepEqual(JSON.parse(line), expected);
});

test("text beyond ASCII stays readable in it", () => {
  assert.ok(auditJson({ ...EVENT, url: "https://api.example.com/é€😀\u00a0" }).includes("é€😀\u00a0"));
});

test("a line for people has no control character in it either", () => {
  const line = auditLine(EVENT, { palette: PLAIN, width: undefined });
  assert.doesNotMatch(line, /[\u0000-\u001f\u007f-\u009f]/);
});
