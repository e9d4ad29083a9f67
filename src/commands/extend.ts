/** `sbx extend`: more time for a sandbox. */
import * as Args from "@oclif/core/args";
import { SbxCommand } from "../cli/base-command.ts";
import { humanRest, humanTime } from "../cli/output/human.ts";
import { parseDuration } from "../cli/parsers/duration.ts";
import { parseSandboxRef } from "../cli/parsers/names.ts";
import { LIFETIME_LIMITS } from "../cli/settings/keys.ts";

export default class Extend extends SbxCommand {
  static override summary = "Let a sandbox live longer.";

  static override description =
    "The sandbox lives for at least this long from now. A life that already lasts longer is never shortened.";

  static override examples = [{ description: "Half an hour from now", command: "<%= config.bin %> extend web 30m" }];

  static override args = {
    sandbox: Args.string({ description: "Id or name, or the beginning of either.", required: true, ignoreStdin: true }),
    duration: Args.string({ description: "From now, such as 30m.", required: true, ignoreStdin: true }),
  };

  async run(): Promise<void> {
    const { args, flags } = await this.parse(Extend);
    const ms = parseDuration(args.duration, LIFETIME_LIMITS);
    await using runtime = await this.openRuntime();
    const ref = parseSandboxRef(args.sandbox);
    const expiresAt = await runtime.extend(ref, ms, { signal: this.interrupt.signal });
    const now = this.context.now();
    if (flags.json) this.printJson({ sandbox: ref, expiresAt: new Date(expiresAt).toISOString() });
    else if (flags.quiet) this.print(new Date(expiresAt).toISOString());
    else this.print(`${ref} lives until ${humanTime(expiresAt, now)} (in ${humanRest(expiresAt - now)})`);
  }
}
