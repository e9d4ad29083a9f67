/**
 * `sbx mcp` as a process of its own, on a fake runtime: the options are this program's arguments. What the runtime was
 * asked for, and what is left in it, goes to the file that FAKE_REPORT names.
 */
import { EventEmitter } from "node:events";
import { writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import Mcp from "../../../src/commands/mcp.ts";
import { FakeRuntime, sandboxInfo } from "../../fake-runtime.ts";
import { Collector, runCommand } from "../cli/run-command.ts";

const runtime = new FakeRuntime();
// Somebody else's, which the server must know nothing of.
runtime.sandboxes.push(sandboxInfo({ id: "sbx_loc_somebodyelses0000000", name: "theirs" }));
runtime.progress = [{ stage: "template", message: "making the template" }];
// The SDK's client drops what it is told in one piece with the answer.
Object.defineProperty(runtime, "createGate", { get: async () => sleep(50) });
runtime.programs.set("python3", ({ spec, stdout, stderr }) => {
  stdout.write(`ran ${String(spec.argv[2])}\n`);
  stderr.write("warned\n");
  return 3;
});
runtime.programs.set("flood", async ({ stdout }) => {
  stdout.write("first\n");
  for (let count = 0; count < 300; count++) stdout.write("€".repeat(1024));
  stdout.write("\nlast");
  return 0;
});
let kills = 0;
runtime.programs.set("kills", ({ stdout }) => {
  stdout.write(String(kills));
  return 0;
});
runtime.programs.set("sleep", async ({ onSignal }) => {
  onSignal(() => kills++);
  await sleep(60_000, undefined, { ref: false });
  return 0;
});
runtime.programs.set("blocked", () => {
  runtime.deniedTargets = [{ host: "db.example", port: 5432, count: 1, reason: "no rule allows it", fix: null }];
  return 7;
});

const signals = new EventEmitter();
for (const name of ["SIGTERM", "SIGINT"]) process.on(name, () => signals.emit(name));
const stderr = new Collector();
const { status } = await runCommand(Mcp, "mcp", process.argv.slice(2), {
  runtime,
  stdin: process.stdin,
  stdout: process.stdout,
  signals,
  stderr,
});
const { calls, sandboxes } = runtime;
const snapshots = await runtime.snapshots.list();
const report = { status, stderr: stderr.text, calls, sandboxes, snapshots, disposed: runtime.disposed };
if (process.env.FAKE_REPORT !== undefined) writeFileSync(process.env.FAKE_REPORT, JSON.stringify(report));
process.exit(status);
