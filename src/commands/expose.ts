/** `sbx expose`: gives a server in a sandbox a URL on this machine. */
import * as Args from "@oclif/core/args";
import * as Flags from "@oclif/core/flags";
import { SbxCommand } from "../cli/base-command.ts";
import { switchFlag } from "../cli/flags/common.ts";
import { sandboxArg } from "../cli/flags/sandbox-arg.ts";
import { prose } from "../cli/output/prose.ts";
import { renderTable } from "../cli/output/table.ts";
import { parseSandboxRef } from "../cli/parsers/names.ts";
import { parsePort } from "../cli/parsers/port.ts";
import { usageError } from "../cli/parsers/usage-error.ts";
import { EXPOSURE_COLUMNS, exposureJson, exposureRow } from "../cli/view/exposure-view.ts";
import type { Runtime } from "../runtime/runtime.ts";

export default class Expose extends SbxCommand {
  static override summary = "Give an HTTP server in a sandbox a URL.";

  static override description = prose(`
The URL is for this machine alone, and holds for as long as the sandbox lives. The server need not run yet. Whoever
knows the URL has access, so its name is long and random; nothing else of the port tells anything. WebSockets and event
streams work. Other protocols: sbx forward.

Browsers and curl know that names under localhost are this machine. A program that does not can ask 127.0.0.1 with the
name as its Host field.

Without a port: the URLs that there are.`);

  static override usage = ["expose SANDBOX PORT [--port PORT]", "expose SANDBOX", "expose SANDBOX PORT --remove"];

  static override examples = [
    { description: "A development server", command: "<%= config.bin %> expose web 3000" },
    { description: "At a port of your own choice", command: "<%= config.bin %> expose web 3000 --port 8080" },
    { description: "For a script", command: 'curl -s "$(<%= config.bin %> expose web 3000)/health"' },
    { description: "Which there are", command: "<%= config.bin %> expose web" },
    { description: "Away with it", command: "<%= config.bin %> expose web 3000 --remove" },
  ];

  static override args = {
    sandbox: sandboxArg,
    port: Args.string({ description: "Port in the sandbox.", ignoreStdin: true }),
  };

  static override flags = {
    port: Flags.custom<number>({
      char: "p",
      summary: "Port of this machine; a free one if absent.",
      helpValue: "PORT",
      parse: async (text) => parsePort(text),
    })(),
    remove: switchFlag({ summary: "Take the URL away.", exclusive: ["port"] }),
  };

  async run(): Promise<void> {
    const { args, flags } = await this.parse(Expose);
    const ref = parseSandboxRef(args.sandbox);
    const guestPort = args.port === undefined ? undefined : parsePort(args.port);
    if (guestPort === undefined && (flags.remove || flags.port !== undefined)) {
      throw usageError("which port of the sandbox is meant?", `sbx expose ${ref} 3000`);
    }
    await using runtime = await this.openRuntime();
    if (guestPort === undefined) {
      await this.#list(runtime, ref, flags);
      return;
    }
    const { signal } = this.interrupt;
    const hostPort = flags.port === undefined ? {} : { hostPort: flags.port };
    const exposure = flags.remove
      ? await runtime.exposures.remove(ref, guestPort, { signal })
      : await runtime.exposures.add(ref, { guestPort, ...hostPort }, { signal });
    if (flags.json) this.printJson(exposureJson(exposure));
    else if (!flags.remove) this.print(exposure.url);
    else if (!flags.quiet) this.notice(`port ${guestPort} of ${ref} has no URL any more`);
  }

  async #list(runtime: Runtime, ref: string, { json, quiet }: { json: boolean; quiet: boolean }): Promise<void> {
    const exposures = await runtime.exposures.list(ref, { signal: this.interrupt.signal });
    if (json) this.printJson(exposures.map(exposureJson));
    else if (quiet) for (const { url } of exposures) this.print(url);
    else if (exposures.length === 0) this.notice(`${ref} has no URLs; sbx expose ${ref} PORT gives it one`);
    else {
      const rows = exposures.map((exposure) => exposureRow(exposure, this.context.now()));
      // A URL is of use as a whole only: the table is not cut.
      this.print(renderTable(EXPOSURE_COLUMNS, rows, { palette: await this.stdoutPalette() }));
    }
  }
}
