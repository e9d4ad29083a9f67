/** What a process in the sandbox may do with the pipes that it was given. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { openTestHome } from "./support/test-home.ts";

test("a process may open its own output anew, as scripts do with /dev/stderr", async () => {
  await using home = await openTestHome();
  const id = await home.create();
  const { stdout, stderr, status } = await home.sbx(
    ["exec", id, "--", "bash", "-c", "echo err > /dev/stderr; echo out > /dev/stdout; cat < /dev/stdin"],
    { input: "in\n" },
  );
  assert.deepEqual({ stdout, stderr, status }, { stdout: "out\nin\n", stderr: "err\n", status: 0 });
});
