/** `sbx volume export` and `sbx snapshot export`: a disk as one file. */
import * as Args from "@oclif/core/args";
import type { ExportReport, ExportTarget } from "../runtime/disks.ts";
import type { CallOptions, Runtime } from "../runtime/runtime.ts";
import { SbxCommand } from "./base-command.ts";
import { exportLine, exportTarget } from "./disk-files.ts";
import { switchFlag } from "./flags/common.ts";
import { parseDiskRef } from "./parsers/volume-mount.ts";

export const exportFileArg = Args.string({
  description: "File to write; - for stdout.",
  required: true,
  ignoreStdin: true,
});

export const exportFlags = { force: switchFlag({ char: "f", summary: "Replace the file if it is there." }) };

export abstract class ExportCommand extends SbxCommand {
  protected abstract write(
    runtime: Runtime,
    ref: string,
    target: ExportTarget,
    options: CallOptions,
  ): Promise<ExportReport>;

  protected async exportTo(
    disk: string,
    file: string,
    flags: { json: boolean; quiet: boolean; force: boolean },
  ): Promise<void> {
    const ref = parseDiskRef(disk);
    const target = exportTarget(this.context, file, flags.force);
    await using runtime = await this.openRuntime();
    using progress = this.openProgress({ quiet: flags.quiet || flags.json });
    const call = { signal: this.interrupt.signal, onProgress: progress.onProgress };
    const report = await this.write(runtime, ref, target, call);
    progress.stop();
    if (!flags.json) {
      if (!flags.quiet) this.notice(exportLine(ref, report));
    } else if (file === "-") {
      // Stdout is the disk's.
      this.context.stderr.write(`${JSON.stringify(report)}\n`);
    } else {
      this.printJson(report);
    }
  }
}
