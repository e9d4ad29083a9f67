/**
 * A reporter for Node's test runner: a line for each file, failures in full as they happen, and at the end one line of
 * JSON with the counts for scripts/test.mjs to add up. The last line is not for people.
 */
import path from "node:path";
import { inspect } from "node:util";

/** What marks the line with the counts. */
export const COUNTS_PREFIX = "@counts ";

export default async function* report(source) {
  const files = new Map();
  let counts = { passed: 0, failed: 0, skipped: 0 };
  for await (const { type, data } of source) {
    if (type === "test:fail" && !isEcho(data)) yield failure(data);
    if (type === "test:pass" && typeof data.skip === "string") yield `  skipped: ${data.name}: ${data.skip}\n`;
    if (type === "test:stderr" || type === "test:stdout") yield data.message;
    if (type !== "test:summary") continue;
    const { passed, failed, cancelled, skipped, todo } = data.counts;
    const sum = { passed, failed: failed + cancelled, skipped: skipped + todo };
    if (data.file === undefined) {
      counts = sum;
    } else {
      files.set(data.file, sum);
      yield fileLine(data.file, sum, data.duration_ms);
    }
  }
  yield `${COUNTS_PREFIX}${JSON.stringify(counts)}\n`;
}

/** A suite fails because a test in it did; the file because something in it did. Once is enough. */
function isEcho({ details }) {
  return details?.error?.failureType === "subtestsFailed";
}

function failure({ name, file, line, details }) {
  const error = details?.error?.cause ?? details?.error;
  const place = file === undefined ? "" : ` (${path.relative(process.cwd(), file)}:${line ?? "?"})`;
  const text = error instanceof Error ? (error.stack ?? error.message) : inspect(error, { depth: 4 });
  return `\nFAILED: ${name}${place}\n${text.replace(/^/gm, "    ")}\n\n`;
}

function fileLine(file, { passed, failed, skipped }, durationMs) {
  const mark = failed > 0 ? "FAIL" : "ok  ";
  const parts = [`${passed} passed`];
  if (failed > 0) parts.push(`${failed} failed`);
  if (skipped > 0) parts.push(`${skipped} skipped`);
  const seconds = (durationMs / 1000).toFixed(1);
  return `  ${mark} ${path.relative(process.cwd(), file)}: ${parts.join(", ")} in ${seconds} s\n`;
}
