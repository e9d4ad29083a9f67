/** `sbx secret set`: stores a secret, or where to read it. */
import * as Args from "@oclif/core/args";
import * as Flags from "@oclif/core/flags";
import { SbxCommand } from "../../cli/base-command.ts";
import { secretsNotice, type ChosenContext } from "../../cli/contexts/find-context.ts";
import { sourceFlags, sourceOf } from "../../cli/flags/secret.ts";
import { prose } from "../../cli/output/prose.ts";
import { parseSecretHosts, parseSecretName } from "../../cli/parsers/secret-request.ts";
import { askSecretValue } from "../../cli/prompts/secret-value.ts";
import { hostsText, secretJson } from "../../cli/view/secret-view.ts";

export default class SecretSet extends SbxCommand {
  static override summary = "Store a secret, and the hosts that it is for.";

  static override description = prose(`
The value is asked for and not shown; where stdin is no terminal, it is all of stdin without a line break at its end. It
cannot be an argument: every process can read those. It is stored encrypted.

With --from-env, --from-command or --from-file no value is stored, but where to read it: anew for each sandbox that is
made with it. The command runs on this machine, as you, and has a minute; what it prints, without a line break at its
end, is the value.

A sandbox gets it with --secret NAME (for all its hosts) or --secret NAME@HOST (for some of them).`);

  static override examples = [
    {
      description: "Asks for the value",
      command: "<%= config.bin %> secret set EXAMPLE_API_KEY --host api.example.com",
    },
    {
      description: "From a password manager, for each sandbox anew",
      command:
        "<%= config.bin %> secret set EXAMPLE_API_KEY --host api.example.com --from-command 'pass show example-key'",
    },
  ];

  static override args = {
    name: Args.string({ description: "Name, also of its variable.", required: true, ignoreStdin: true }),
  };

  static override flags = {
    host: Flags.string({
      summary: "A host that it may be sent to.",
      helpValue: "HOST",
      multiple: true,
      multipleNonGreedy: true,
      required: true,
    }),
    ...sourceFlags,
  };

  protected override describeContext(chosen: ChosenContext): string {
    return secretsNotice(chosen);
  }

  async run(): Promise<void> {
    const { args, flags } = await this.parse(SecretSet);
    const name = parseSecretName(args.name);
    const hosts = parseSecretHosts(flags.host);
    const call = { signal: this.interrupt.signal };
    const source = sourceOf(flags, this.context.cwd) ?? {
      kind: "value" as const,
      value: await askSecretValue(name, { context: this.context, ...call }),
    };
    await using runtime = await this.openRuntime();
    const secret = await runtime.secrets.set({ name, hosts, source }, call);
    if (flags.json) this.printJson(secretJson(secret));
    else if (!flags.quiet) this.notice(`${name} is stored for ${hostsText(secret)}`);
  }
}
