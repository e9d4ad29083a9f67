/**
 * Garbage on every endpoint: Schemathesis draws requests, right and wrong ones, from the server's own OpenAPI document, and
 * judges the answers by it. `SBX_TEST_SEED` draws others.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import path from "node:path";
import { test } from "node:test";
import { pythonPackages } from "../../../scripts/python-packages.mjs";
import { UPGRADES } from "../../../src/server/api/routes.ts";
import { snapshotInfo, volumeInfo } from "../../fake-disks.ts";
import { sandboxInfo } from "../../fake-runtime.ts";
import { temporaryDirectory } from "../store/temporary-directory.ts";
import { openBench, SANDBOX_ID } from "./harness.ts";

const CONFIG = path.resolve(import.meta.dirname, "../../python/schemathesis.toml");
/** The places of other protocols, which it does not speak. */
const HANDSHAKES = Object.values(UPGRADES)
  .map(({ path }) => `^${path.replaceAll(/:(\w+)/g, "\\{$1\\}")}$`)
  .join("|");
/** A schema does not say which cursors there are, nor which time is past. */
const BEYOND_SCHEMAS = "positive_data_acceptance";

/** @param cwd where it may leave things */
async function schemathesis(args: readonly string[], cwd: string): Promise<{ status: number | null; output: string }> {
  const env = { ...process.env, PYTHONPATH: await pythonPackages("schemathesis"), PYTHONDONTWRITEBYTECODE: "1" };
  const child = spawn("python3", ["-m", "schemathesis.cli", "--config-file", CONFIG, ...args], { env, cwd });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk: Buffer) => (output += chunk.toString()));
  const status = await new Promise<number | null>((resolve) => void child.once("close", resolve));
  return { status, output };
}

test("whatever is sent to whatever route, the answer is one that the document describes, and never a failure", async (t) => {
  const { runtime, url, token, log } = await openBench(
    t,
    { quotas: { creationsPerMinute: 100_000 } },
    { withDoors: true },
  );
  runtime.sandboxes = [sandboxInfo({ id: SANDBOX_ID, name: "box" })];
  runtime.volumes.volumes = [volumeInfo({ slug: "data" })];
  runtime.snapshots.snapshots = [snapshotInfo({ slug: "tools" })];
  // What is followed ends by itself here.
  runtime.followEnds = true;
  runtime.events = async function* () {
    yield* runtime.eventList;
  };
  const { status, output } = await schemathesis(
    [
      ...["run", `${url}/openapi.json`, "--header", `Authorization: Bearer ${token}`],
      ...["--checks", "all", "--exclude-checks", BEYOND_SCHEMAS, "--exclude-path-regex", HANDSHAKES],
      ...["--phases", "coverage,fuzzing", "--max-examples", "5", "--seed", process.env["SBX_TEST_SEED"] ?? "1"],
      ...["--continue-on-failure", "--request-timeout", "20", "--warnings", "off", "--no-color"],
    ],
    temporaryDirectory(t),
  );
  const failures = log()
    .split("\n")
    .filter((line) => line.includes('"event":"failure"'));
  assert.equal(status, 0, [output, ...failures].join("\n"));
  assert.match(output, /\d{4,} generated, \d+ passed/);
  assert.deepEqual(failures, []);
});
