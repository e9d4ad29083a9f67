/** `sbx app logs`: what the programs of an app said. */
import * as Flags from "@oclif/core/flags";
import { SbxCommand } from "../../cli/base-command.ts";
import { appArg } from "../../cli/flags/app.ts";
import { switchFlag } from "../../cli/flags/common.ts";
import { momentFlag, tailFlag } from "../../cli/flags/watching.ts";
import { printFollowed } from "../../cli/output/print-followed.ts";
import { appLogJson, appLogLine, buildLine } from "../../cli/view/app-view.ts";
import { jsonLine } from "../../cli/output/json-line.ts";
import { streamLogs } from "../../runtime/app-log-stream.ts";
import type { AppLogLine, BuildLogLine } from "../../runtime/apps.ts";

export default class AppLogs extends SbxCommand {
  static override summary = "Show what the programs of an app said, within the last day.";

  static override examples = [
    { description: "The last lines", command: "<%= config.bin %> app logs shop --tail 50" },
    { description: "Those, and what is to come", command: "<%= config.bin %> app logs shop --tail 50 --follow" },
    {
      description: "Of one revision, as it was built",
      command: "<%= config.bin %> app logs shop --build 0v1mqe3sdyrh",
    },
  ];

  static override args = { app: appArg };

  static override flags = {
    follow: switchFlag({ char: "f", summary: "Go on until interrupted." }),
    tail: tailFlag("lines"),
    since: momentFlag("Only lines since then."),
    revision: Flags.string({ summary: "Only lines of this revision.", helpValue: "ID", exclusive: ["build"] }),
    build: Flags.string({ summary: "The build log of this revision, while it is built, too.", helpValue: "ID" }),
  };

  async run(): Promise<void> {
    const { args, flags } = await this.parse(AppLogs);
    const { tail, since = 0, revision, build, json, follow } = flags;
    const { signal } = this.interrupt;
    const { stdout } = this.context;
    const palette = await this.stdoutPalette();
    await using runtime = await this.openRuntime();
    const { id } = await runtime.apps.get(args.app, { signal });
    const end = { stdout, interrupt: this.interrupt, follow };
    if (build !== undefined) {
      const render = (line: BuildLogLine): string => (json ? jsonLine(line) : buildLine(line, palette));
      await printFollowed(runtime.apps.revisions.buildLogs(build, { signal }), { ...end, render });
      return;
    }
    const read = async (from: number): Promise<AppLogLine[]> =>
      runtime.apps.logs(id, { signal, since: from, ...(revision !== undefined && { revision }) });
    const lines = await read(since);
    const skipped = tail === undefined ? 0 : Math.max(0, lines.length - tail);
    const render = (line: AppLogLine): string => (json ? appLogJson(line) : appLogLine(line, palette));
    await printFollowed(follow ? after(skipped, this.#follow(read, since)) : after(skipped, each(lines)), {
      ...end,
      render,
    });
  }

  #follow(read: (since: number) => Promise<AppLogLine[]>, since: number): AsyncIterable<AppLogLine> {
    const { signal } = this.interrupt;
    return streamLogs(read, { since, until: undefined, now: () => this.context.now(), signal });
  }
}

/** All but the first ones. */
async function* after<T>(count: number, items: AsyncIterable<T>): AsyncIterable<T> {
  let seen = 0;
  for await (const item of items) if (++seen > count) yield item;
}

async function* each<T>(items: readonly T[]): AsyncIterable<T> {
  yield* items;
}
