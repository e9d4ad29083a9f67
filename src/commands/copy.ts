/** `sbx copy`: files between this machine and sandboxes. */
import * as Args from "@oclif/core/args";
import { SbxCommand } from "../cli/base-command.ts";
import { planCopy, type Transfer } from "../cli/copy/plan.ts";
import { addReports, describeReport, EMPTY_REPORT } from "../cli/copy/report.ts";
import { placeFlags } from "../cli/flags/guest-command.ts";
import { parseCopyOperand } from "../cli/parsers/copy-operand.ts";
import { usageError } from "../cli/parsers/usage-error.ts";
import type { CopyOptions, CopyReport, Runtime } from "../runtime/runtime.ts";
import { prose } from "../cli/output/prose.ts";

export default class Copy extends SbxCommand {
  static override aliases = ["cp"];
  static override summary = "Copy files and directories to, from and between sandboxes.";

  static override description = prose(`
SANDBOX:PATH is a path in a sandbox, relative to /home/app; anything else is a path here (./a:b for a name with a colon).
Directories are copied whole, with modes, times and symbolic links. Several sources, or a target that ends in a slash,
need a target that is a directory. Patterns in a sandbox's path are expanded there; quote them.

The exit status is 1 if something could not be copied; it is named on stderr.`);

  static override usage = ["copy [OPTIONS] SOURCE... TARGET"];

  static override examples = [
    { description: "In", command: "<%= config.bin %> copy ./src notes.md web:/app/" },
    { description: "Out, by a pattern", command: "<%= config.bin %> copy 'web:/app/dist/*.js' ./out/" },
    { description: "From one to another", command: "<%= config.bin %> copy web:/app/data.db test:/app/" },
  ];

  static override args = {
    paths: Args.string({
      description: "Sources, and the target last.",
      multiple: true,
      required: true,
      ignoreStdin: true,
    }),
  };

  static override flags = { user: placeFlags.user };

  async run(): Promise<void> {
    const { args, flags } = await this.parse(Copy);
    const operands = args.paths.map(parseCopyOperand);
    const target = operands.pop();
    if (target === undefined || operands.length === 0) {
      throw usageError("a copy needs a source and a target", "sbx copy SOURCE... TARGET");
    }
    const transfers = planCopy(operands, target);
    let total = EMPTY_REPORT;
    await using runtime = await this.openRuntime();
    using progress = this.openProgress({ quiet: flags.quiet || flags.json });
    const options: CopyOptions = {
      signal: this.interrupt.signal,
      onProgress: progress.onProgress,
      ...(flags.user === undefined ? {} : { user: flags.user }),
    };
    for (const transfer of transfers) total = addReports(total, await copyOne(runtime, transfer, options));
    progress.stop();
    if (flags.json) this.printJson(total);
    else this.#tell(total, flags.quiet);
    if (total.skipped.length > 0) this.context.setExitStatus(1);
  }

  #tell(report: CopyReport, quiet: boolean): void {
    for (const { path, reason } of report.skipped) this.notice(`not copied: ${path}: ${reason}`);
    if (!quiet && this.context.stderr.isTTY === true) this.notice(describeReport(report));
  }
}

async function copyOne(runtime: Runtime, transfer: Transfer, options: CopyOptions): Promise<CopyReport> {
  const call = options.signal === undefined ? {} : { signal: options.signal };
  await using sandbox = await runtime.connect(transfer.sandbox, call);
  switch (transfer.kind) {
    case "upload":
      return await sandbox.upload(transfer.sources, transfer.destination, options);
    case "download":
      return await sandbox.download(transfer.sources, transfer.destination, options);
    case "between": {
      await using target = await runtime.connect(transfer.target, call);
      return await sandbox.transfer(transfer.sources, target, transfer.destination, options);
    }
  }
}
