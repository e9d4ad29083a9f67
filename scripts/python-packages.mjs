/**
 * Python packages that only tests use, as clients and judges of what sbx does: each list of `test/python` in a directory
 * of its own below the user's cache, so that nothing of the machine's own Python is touched. Plain JavaScript that runs
 * on Node 20.
 */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from "node:fs";
import { homedir } from "node:os";
import path from "node:path";
import { projectPath } from "./setup-project.mjs";
import { run, step } from "./steps.mjs";

/** Names of the lists. */
export const PYTHON_LISTS = ["deno-sandbox", "schemathesis"];

/**
 * Installs what a list names, unless it is there.
 *
 * @param {string} list
 * @returns {Promise<string>} for PYTHONPATH
 */
export async function pythonPackages(list) {
  const file = path.join(projectPath, "test", "python", `${list}.txt`);
  const version = (await run(["python3", "--version"])).trim();
  const hash = createHash("sha256")
    .update(`${version}\n${readFileSync(file, "utf8")}`)
    .digest("hex")
    .slice(0, 16);
  const cache = path.join(process.env.XDG_CACHE_HOME ?? path.join(homedir(), ".cache"), "sbx-tests", "python");
  const target = path.join(cache, `${list}-${hash}`);
  if (existsSync(target)) return target;
  mkdirSync(cache, { recursive: true });
  const scratch = mkdtempSync(path.join(cache, ".install-"));
  try {
    await step(`installing Python packages for tests: ${list}`, (onLine) =>
      run(["pip3", "install", "--quiet", "--disable-pip-version-check", "--target", scratch, "-r", file], { onLine }),
    );
    if (!existsSync(target)) renameSync(scratch, target);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
  return target;
}
