/**
 * `npm run soak -- [--clients N] [--seconds N] [--seed N]`: a control plane under mixed work, by default 200 clients for ten
 * minutes. `--url URL --token TOKEN --sandbox ID…` connects to sandboxes of a server that runs already, in place of a fast
 * guest of its own. Exit status 1 if anything was lost, mixed up or left.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";
import { startSoakServer, type SoakServer } from "./soak-bench.ts";
import { soak } from "./soak-load.ts";

const { values } = parseArgs({
  options: {
    clients: { type: "string", default: "200" },
    seconds: { type: "string", default: "600" },
    seed: { type: "string", default: String(1 + Math.floor(Math.random() * 2 ** 30)) },
    ...{ url: { type: "string" }, token: { type: "string" }, sandbox: { type: "string", multiple: true } },
  },
});
const [clients, seconds, seed] = [Number(values.clients), Number(values.seconds), Number(values.seed)];
const { url, token, sandbox: sandboxes } = values;
for (const method of ["error", "debug"] as const) console[method] = () => undefined; // the SDK's, about ends that are meant

if (url !== undefined && token !== undefined && sandboxes !== undefined) {
  const report = await soak({ url, tokens: [token], clients, seconds, seed, sandboxes });
  finish({ ...report }, report.faults);
} else {
  const home = mkdtempSync(path.join(tmpdir(), "sbx-soak-"));
  try {
    await using server = await startSoakServer(home);
    await runOn(server);
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
}

async function runOn(server: SoakServer): Promise<void> {
  const options = { url: server.url, tokens: server.tokens, clients };
  // What only a first use loads is not counted.
  await soak({ ...options, seconds: Math.min(10, seconds), seed: seed + 1 });
  const before = await server.settled();
  const report = await soak({ ...options, seconds, seed });
  const after = await server.settled();
  const faults = [...report.faults, ...after.left];
  finish(
    { ...report, faults: faults.length, memoryBefore: before.memoryBytes, memoryAfter: after.memoryBytes },
    faults,
  );
}

function finish(facts: object, faults: readonly string[]): void {
  process.stdout.write(`${JSON.stringify({ clients, seconds, seed, ...facts })}\n`);
  for (const fault of faults.slice(0, 20)) process.stdout.write(`${fault}\n`);
  process.exitCode = faults.length > 0 ? 1 : 0;
}
