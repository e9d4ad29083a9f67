/** `sbx net allow` and `sbx net deny`: new rules for a running sandbox. */
import * as Args from "@oclif/core/args";
import { draftRule } from "../../policy/build-policy.ts";
import type { Verdict } from "../../policy/spec.ts";
import { SbxCommand } from "../base-command.ts";
import { sandboxArg } from "../flags/sandbox-arg.ts";
import { parseSandboxRef } from "../parsers/names.ts";
import { splitPatterns } from "../parsers/pattern-list.ts";
import { renderChange } from "../view/network-view.ts";

export const changeArgs = {
  sandbox: sandboxArg,
  patterns: Args.string({
    description: "Hosts, such as api.example.com, *.example.com:443 or 10.0.0.0/8:5432.",
    multiple: true,
    required: true,
    ignoreStdin: true,
  }),
};

export abstract class NetChangeCommand extends SbxCommand {
  static override args = changeArgs;

  protected abstract readonly verdict: Verdict;

  protected async change(args: { sandbox: string; patterns: string[] }, flags: { json: boolean; quiet: boolean }) {
    const ref = parseSandboxRef(args.sandbox);
    const patterns = args.patterns.flatMap(splitPatterns);
    // The supervisor parses them again; here a mistake gets its hint.
    for (const pattern of patterns) draftRule(this.verdict, pattern, { kind: "command", at: this.context.now() });
    await using runtime = await this.openRuntime();
    const answer = await runtime.network.change(ref, this.verdict, patterns, { signal: this.interrupt.signal });
    const display = { palette: await this.stdoutPalette(), width: this.stdoutWidth };
    if (flags.json) this.printJson(answer);
    else if (!flags.quiet) this.print(renderChange(answer, display));
    if (answer.stillDenied.length > 0) this.context.setExitStatus(1);
  }
}
