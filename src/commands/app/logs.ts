/** `sbx app logs`: what the programs of an app said. */
import * as Flags from "@oclif/core/flags";
import { SbxCommand } from "../../cli/base-command.ts";
import { appArg } from "../../cli/flags/app.ts";
import { momentFlag, tailFlag } from "../../cli/flags/watching.ts";
import { printFollowed } from "../../cli/output/print-followed.ts";
import { appLogJson, appLogLine, buildLine } from "../../cli/view/app-view.ts";
import { jsonLine } from "../../cli/output/json-line.ts";
import type { AppLogLine, BuildLogLine } from "../../runtime/apps.ts";

export default class AppLogs extends SbxCommand {
  static override summary = "Show what the programs of an app said, within the last day.";

  static override examples = [
    { description: "The last lines", command: "<%= config.bin %> app logs shop --tail 50" },
    {
      description: "Of one revision, as it was built",
      command: "<%= config.bin %> app logs shop --build 0v1mqe3sdyrh",
    },
  ];

  static override args = { app: appArg };

  static override flags = {
    tail: tailFlag("lines"),
    since: momentFlag("Only lines since then."),
    revision: Flags.string({ summary: "Only lines of this revision.", helpValue: "ID", exclusive: ["build"] }),
    build: Flags.string({ summary: "The build log of this revision, while it is built, too.", helpValue: "ID" }),
  };

  async run(): Promise<void> {
    const { args, flags } = await this.parse(AppLogs);
    const { tail, since, revision, build, json } = flags;
    const { signal } = this.interrupt;
    const { stdout } = this.context;
    const palette = await this.stdoutPalette();
    await using runtime = await this.openRuntime();
    const { id } = await runtime.apps.get(args.app, { signal });
    const end = { stdout, interrupt: this.interrupt, follow: false };
    if (build !== undefined) {
      const render = (line: BuildLogLine): string => (json ? jsonLine(line) : buildLine(line, palette));
      await printFollowed(runtime.apps.revisions.buildLogs(build, { signal }), { ...end, render });
      return;
    }
    const options = { signal, ...(since !== undefined && { since }), ...(revision !== undefined && { revision }) };
    const lines = await runtime.apps.logs(id, options);
    const render = (line: AppLogLine): string => (json ? appLogJson(line) : appLogLine(line, palette));
    await printFollowed(each(tail === undefined ? lines : lines.slice(-tail)), { ...end, render });
  }
}

async function* each<T>(items: readonly T[]): AsyncIterable<T> {
  yield* items;
}
