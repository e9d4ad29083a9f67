/**
 * The supervisor's entry point: one detached process for each sandbox (or for the making of one template). Standard
 * input carries the launch; see src/protocol/launch.ts. What is needed to start QEMU is imported first, the rest while
 * the guest comes up.
 */
import { writeFileSync } from "node:fs";
import path from "node:path";
import { toErrorRecord } from "../runtime/errors.ts";
import type { Launch } from "../protocol/launch.ts";
import { explainFailure } from "../runtime/failure.ts";
import { LaunchChannel } from "./launch-channel.ts";

async function main(): Promise<void> {
  process.title = "sbx-supervisor";
  process.umask(0o077);
  const channel = new LaunchChannel();
  let launch: Launch | undefined;
  try {
    launch = channel.readLaunch();
    if (launch.kind === "template") {
      const { makeTemplate } = await import("./template-maker.ts");
      await makeTemplate(launch, channel);
      await channel.close();
      return;
    }
    const { runSandbox } = await import("./sandbox.ts");
    await runSandbox(launch, channel);
  } catch (error) {
    const record = toErrorRecord(explainFailure(error, launch?.directory));
    if (launch?.kind === "sandbox") recordFailure(launch.directory, record);
    channel.answer({ type: "failed", error: record });
    await channel.close();
    process.exitCode = 1;
  }
}

/** For whoever asks later why the sandbox is not there; the launcher hears it at once. */
function recordFailure(directory: string, record: unknown): void {
  try {
    writeFileSync(path.join(directory, "failure.json"), JSON.stringify(record), { mode: 0o600 });
  } catch {
    // The directory or the disk is gone; the launcher still gets the answer.
  }
}

await main();
process.exit();
