/** `sbx net log`: what a sandbox tried to reach, and what came of it. */
import * as Flags from "@oclif/core/flags";
import { SbxCommand } from "../../cli/base-command.ts";
import { isAbort } from "../../cli/errors/funnel.ts";
import { switchFlag } from "../../cli/flags/common.ts";
import { sandboxArg } from "../../cli/flags/sandbox-arg.ts";
import { writeWithPressure } from "../../cli/output/pressure.ts";
import { parseCount } from "../../cli/parsers/count.ts";
import { parseSandboxRef } from "../../cli/parsers/names.ts";
import type { AuditEvent } from "../../runtime/network.ts";
import { auditJson, auditLine } from "../../cli/view/audit-view.ts";

const MAX_TAIL = 1_000_000;

export default class NetLog extends SbxCommand {
  static override summary = "Show what a sandbox tried to reach, and what was decided.";

  static override description =
    "Names, connections and requests, without bodies, header fields or values of a query. Works for a sandbox that stopped within the last day, too.";

  static override examples = [
    { description: "As it happens", command: "<%= config.bin %> net log web --follow" },
    {
      description: "What was denied, for a program",
      command: "<%= config.bin %> net log web --denied --json | jq -r .host",
    },
  ];

  static override args = { sandbox: sandboxArg };

  static override flags = {
    follow: switchFlag({ char: "f", summary: "Go on until interrupted, or until the sandbox ends." }),
    tail: Flags.custom<number>({
      char: "n",
      summary: "Only the last lines.",
      helpValue: "N",
      parse: async (text) => parseCount(text, { min: 0, max: MAX_TAIL }),
    })(),
    denied: switchFlag({ summary: "Only what was denied." }),
  };

  async run(): Promise<void> {
    const { args, flags } = await this.parse(NetLog);
    const ref = parseSandboxRef(args.sandbox);
    await using runtime = await this.openRuntime();
    let damaged = 0;
    const events = runtime.network.log(ref, {
      signal: this.interrupt.signal,
      follow: flags.follow,
      ...(flags.tail === undefined ? {} : { tail: flags.tail }),
      ...(flags.denied ? { filter: isDenial } : {}),
      onDamaged: (count) => (damaged = count),
    });
    const display = { palette: await this.stdoutPalette(), width: this.stdoutWidth };
    try {
      for await (const event of events) {
        const line = flags.json ? auditJson(event) : auditLine(event, display);
        if (!(await writeWithPressure(this.context.stdout, `${line}\n`))) break;
      }
    } catch (error) {
      // Ctrl-C is how one stops following; it is no failure then.
      if (!(flags.follow && this.interrupt.received === "SIGINT" && isAbort(error))) throw error;
    }
    if (damaged > 0) this.notice(`${damaged} damaged ${damaged === 1 ? "line was" : "lines were"} left out`);
  }
}

/** A new rule that denies is no denial. */
function isDenial({ verdict, kind }: AuditEvent): boolean {
  return verdict === "deny" && kind !== "change";
}
