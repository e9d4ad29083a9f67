/** `sbx mcp`: sandboxes as tools of a language model, over the Model Context Protocol. */
import * as Flags from "@oclif/core/flags";
import { SbxCommand } from "../cli/base-command.ts";
import { durationFlag, switchFlag } from "../cli/flags/common.ts";
import { newSandboxFlags, readNewSandbox } from "../cli/flags/new-sandbox.ts";
import { prose } from "../cli/output/prose.ts";
import { parseCount } from "../cli/parsers/count.ts";
import { LIFETIME_LIMITS } from "../cli/settings/keys.ts";

const MAX_SANDBOXES = 5;
const COMMAND_LIMIT_MS = 5 * 60 * 1000;

const { name: _name, ...sandboxFlags } = newSandboxFlags;

export default class Mcp extends SbxCommand {
  static override summary = "Give a language model sandboxes as tools (Model Context Protocol).";

  static override description = prose(`
Speaks the Model Context Protocol on stdin and stdout; a host of that protocol starts it. Its tools create sandboxes, run
code in them, read and write their files, give their servers URLs, take snapshots, copy and end them.

What you say here holds for all of these sandboxes: what they reach, which secrets they have, their size, their files of
this machine. No tool changes any of it. The model sees no sandbox but those that it has made with this server, and they
end with it.`);

  static override examples = [
    { description: "Sandboxes that reach nothing", command: "<%= config.bin %> mcp" },
    {
      description: "With package registries, and a key that stays outside",
      command: "<%= config.bin %> mcp --net balanced --secret EXAMPLE_API_KEY@api.example.com",
    },
    {
      description: "Two at once, small, with a copy of a project",
      command: "<%= config.bin %> mcp --max-sandboxes 2 --memory 512MiB --copy ./shop",
    },
  ];

  static override flags = {
    ...sandboxFlags,
    timeout: durationFlag({ summary: "Let each sandbox live this long.", ...LIFETIME_LIMITS }),
    "command-timeout": durationFlag({ summary: "Stop each command after this time (5m).", ...LIFETIME_LIMITS }),
    "max-sandboxes": Flags.custom<number>({
      summary: `How many sandboxes may run at once (${MAX_SANDBOXES}).`,
      helpValue: "N",
      parse: async (text) => parseCount(text, { min: 1, max: 100 }),
    })(),
    keep: switchFlag({ summary: "Leave sandboxes running until their time is over, and keep snapshots." }),
  };

  async run(): Promise<void> {
    const { flags } = await this.parse(Mcp);
    const lifetimeMs = flags.timeout ?? this.loadedSettings.settings.timeoutMs;
    const { lifetime: _lifetime, ...spec } = await readNewSandbox(flags, { kind: "session" }, this.context);
    await using runtime = await this.openRuntime();
    const { serveMcp } = await import("../mcp/serve.ts");
    await serveMcp({
      runtime,
      policy: {
        spec,
        lifetimeMs,
        maxSandboxes: flags["max-sandboxes"] ?? MAX_SANDBOXES,
        commandLimitMs: flags["command-timeout"] ?? COMMAND_LIMIT_MS,
        keep: flags.keep,
        environment: this.context.env,
      },
      version: this.config.version,
      input: this.context.stdin,
      output: this.context.stdout,
      signal: this.interrupt.signal,
      onError: (error) => this.notice(error.message),
    });
  }
}
