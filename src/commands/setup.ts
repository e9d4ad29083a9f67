/** `sbx setup`: gets this machine ready. */
import { SbxCommand } from "../cli/base-command.ts";
import { switchFlag } from "../cli/flags/common.ts";
import { renderChecks } from "../cli/view/check-view.ts";

export default class Setup extends SbxCommand {
  static override summary = "Get this machine ready: image, templates, accelerator.";

  static override description =
    "Builds what is missing and keeps what is there, so it can be run again at any time. Other commands do it by themselves when they must.";

  static override examples = [
    { description: "Once, or whenever something seems wrong", command: "<%= config.bin %> setup" },
    { description: "From scratch", command: "<%= config.bin %> setup --force" },
  ];

  static override flags = {
    force: switchFlag({ char: "f", summary: "Build everything again." }),
  };

  async run(): Promise<void> {
    const { flags } = await this.parse(Setup);
    await using runtime = await this.openRuntime();
    using progress = this.openProgress({ quiet: flags.quiet || flags.json });
    const checks = await runtime.machine.setup({
      force: flags.force,
      signal: this.interrupt.signal,
      onProgress: progress.onProgress,
    });
    progress.stop();
    const shown = flags.quiet ? checks.filter(({ status }) => status === "failed") : checks;
    if (flags.json) this.printJson(checks);
    else if (shown.length > 0) this.print(renderChecks(shown, await this.stdoutPalette(), this.stdoutWidth));
    if (checks.some(({ status }) => status === "failed")) this.context.setExitStatus(1);
  }
}
