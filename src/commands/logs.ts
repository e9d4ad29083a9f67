/** `sbx logs`: what a sandbox's supervisor, console, virtual machine and background processes said. */
import * as Flags from "@oclif/core/flags";
import { SbxCommand } from "../cli/base-command.ts";
import { switchFlag } from "../cli/flags/common.ts";
import { sandboxArg } from "../cli/flags/sandbox-arg.ts";
import { momentFlag, tailFlag } from "../cli/flags/watching.ts";
import { printFollowed } from "../cli/output/print-followed.ts";
import { prose } from "../cli/output/prose.ts";
import { parseSandboxRef } from "../cli/parsers/names.ts";
import { logJson, logLine } from "../cli/view/log-view.ts";
import { describeReason } from "../cli/view/sandbox-view.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { LOG_SOURCES, type LogLine, type LogSource } from "../runtime/watching.ts";

const ALL = "all";

export default class Logs extends SbxCommand {
  static override summary = "Show what happened around a sandbox.";

  static override description = prose(`
Lines of the supervisor, the guest's console, the virtual machine, and of processes that run in the background
(\`sbx exec --detach\`), by time. Works for a sandbox that stopped, too: what processes said stays for a day, the rest only
of one that crashed.

A TIME is a moment (2026-03-01T14:05:09Z) or how long ago it was (10m).`);

  static override examples = [
    { description: "The last lines, and those to come", command: "<%= config.bin %> logs web --tail 20 --follow" },
    { description: "What a process in the background says", command: "<%= config.bin %> logs web --source process -f" },
    {
      description: "The last ten minutes, for a program",
      command: "<%= config.bin %> logs web --since 10m --json | jq -r .text",
    },
  ];

  static override args = { sandbox: sandboxArg };

  static override flags = {
    follow: switchFlag({ char: "f", summary: "Go on until interrupted, or until the sandbox ends." }),
    tail: tailFlag("lines"),
    since: momentFlag("Only lines since then."),
    source: Flags.option({
      summary: "Only lines from here.",
      options: [...LOG_SOURCES, ALL] as const,
      multiple: true,
      multipleNonGreedy: true,
    })(),
    timestamps: switchFlag({ char: "t", summary: "Begin each line with its time." }),
  };

  async run(): Promise<void> {
    const { args, flags } = await this.parse(Logs);
    const { follow, tail, since, timestamps, json } = flags;
    await using runtime = await this.openRuntime();
    const { id } = await runtime.get(parseSandboxRef(args.sandbox), { signal: this.interrupt.signal });
    const sources = toSources(flags.source ?? []);
    const lines = runtime.logs(id, {
      ...{ signal: this.interrupt.signal, follow },
      ...(tail !== undefined && { tail }),
      ...(since !== undefined && { since }),
      ...(sources !== undefined && { sources }),
    });
    const display = { palette: await this.stdoutPalette(), timestamps };
    const render = (line: LogLine): string => (json ? logJson(line) : logLine(line, display));
    const { stdout } = this.context;
    const isOver = await printFollowed(lines, { render, stdout, interrupt: this.interrupt, follow });
    if (follow && isOver && !flags.quiet) await this.#tellEnd(runtime, id);
  }

  /** Why there is nothing more to follow. */
  async #tellEnd(runtime: Runtime, id: string): Promise<void> {
    const info = await runtime.get(id);
    this.notice(`${info.name ?? id} has ended: ${describeReason(info)}`);
  }
}

function toSources(given: readonly (LogSource | typeof ALL)[]): LogSource[] | undefined {
  const sources = given.filter((source) => source !== ALL);
  return sources.length === 0 || sources.length < given.length ? undefined : sources;
}
