/** `sbx doctor`: what this machine has, and what is wrong with it. */
import { SbxCommand } from "../cli/base-command.ts";
import { renderChecks } from "../cli/view/check-view.ts";

export default class Doctor extends SbxCommand {
  static override summary = "Check this machine, with a fix for each fault.";

  static override description = "The exit status is 1 if sbx could not run a sandbox here.";

  static override examples = [
    { description: "For a person", command: "<%= config.bin %> doctor" },
    {
      description: "Only the faults, for a program",
      command: `<%= config.bin %> doctor --json | jq '.[] | select(.status == "failed")'`,
    },
  ];

  async run(): Promise<void> {
    const { flags } = await this.parse(Doctor);
    await using runtime = await this.openRuntime();
    using progress = this.openProgress({ quiet: flags.quiet || flags.json });
    const checks = await runtime.machine.doctor({ signal: this.interrupt.signal, onProgress: progress.onProgress });
    progress.stop();
    const shown = flags.quiet ? checks.filter(({ status }) => status === "failed" || status === "warning") : checks;
    if (flags.json) this.printJson(checks);
    else if (shown.length > 0) this.print(renderChecks(shown, await this.stdoutPalette(), this.stdoutWidth));
    if (checks.some(({ status }) => status === "failed")) this.context.setExitStatus(1);
  }
}
