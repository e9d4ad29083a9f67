/** A directory for one test, gone when the test is over. */
import { mkdtemp, rm } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import type { TestContext } from "node:test";

export async function scratchDirectory(context: TestContext): Promise<string> {
  const directory = await mkdtemp(path.join(os.tmpdir(), "sbx image test "));
  context.after(() => rm(directory, { recursive: true, force: true }));
  return directory;
}
