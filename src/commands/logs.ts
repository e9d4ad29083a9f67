/** `sbx logs`: what a sandbox's supervisor, console and virtual machine said. */
import * as Args from "@oclif/core/args";
import * as Flags from "@oclif/core/flags";
import { SbxCommand } from "../cli/base-command.ts";
import { switchFlag } from "../cli/flags/common.ts";
import { parseCount } from "../cli/parsers/count.ts";
import { parseSandboxRef } from "../cli/parsers/names.ts";
import { isAbort } from "../cli/errors/funnel.ts";
import { logJson, logLine } from "../cli/view/log-view.ts";
import { writeWithPressure } from "../cli/output/pressure.ts";

const SOURCES = ["supervisor", "console", "vm"] as const;
const MAX_TAIL = 1_000_000;

export default class Logs extends SbxCommand {
  static override summary = "Show what happened around a sandbox.";

  static override description =
    "Lines of the supervisor, the guest's console and the virtual machine. Works for a sandbox that stopped, too.";

  static override examples = [
    { description: "The last lines, and those to come", command: "<%= config.bin %> logs web --tail 20 --follow" },
    { description: "Only the guest's console", command: "<%= config.bin %> logs web --source console" },
  ];

  static override args = {
    sandbox: Args.string({ description: "Id or name, or the beginning of either.", required: true, ignoreStdin: true }),
  };

  static override flags = {
    follow: switchFlag({ char: "f", summary: "Go on until interrupted, or until the sandbox ends." }),
    tail: Flags.custom<number>({
      char: "n",
      summary: "Only the last lines.",
      helpValue: "N",
      parse: async (text) => parseCount(text, { min: 0, max: MAX_TAIL }),
    })(),
    source: Flags.option({ summary: "Only lines from here.", options: SOURCES })(),
  };

  async run(): Promise<void> {
    const { args, flags } = await this.parse(Logs);
    await using runtime = await this.openRuntime();
    const lines = runtime.logs(parseSandboxRef(args.sandbox), {
      signal: this.interrupt.signal,
      follow: flags.follow,
      ...(flags.tail === undefined ? {} : { tail: flags.tail }),
    });
    const palette = await this.stdoutPalette();
    try {
      for await (const line of lines) {
        if (flags.source !== undefined && line.source !== flags.source) continue;
        const text = flags.json ? logJson(line) : logLine(line, palette);
        if (!(await writeWithPressure(this.context.stdout, `${text}\n`))) break;
      }
    } catch (error) {
      // Ctrl-C is how one stops following; it is no failure then.
      if (!(flags.follow && this.interrupt.received === "SIGINT" && isAbort(error))) throw error;
    }
  }
}
