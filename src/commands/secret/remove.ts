/** `sbx secret remove`: forgets stored secrets. */
import * as Args from "@oclif/core/args";
import { SbxCommand } from "../../cli/base-command.ts";
import { secretsNotice, type ChosenContext } from "../../cli/contexts/find-context.ts";
import { forEachOf } from "../../cli/for-each.ts";
import { parseSecretName } from "../../cli/parsers/secret-request.ts";
import { secretJson } from "../../cli/view/secret-view.ts";

export default class SecretRemove extends SbxCommand {
  static override aliases = ["secret:rm"];
  static override summary = "Forget stored secrets.";

  static override description =
    "Sandboxes that run keep what they were given; sbx kill ends them. A key that got out has to be withdrawn where it was made.";

  static override examples = [{ description: "One", command: "<%= config.bin %> secret remove EXAMPLE_API_KEY" }];

  static override args = {
    names: Args.string({ description: "Names of secrets.", multiple: true, required: true, ignoreStdin: true }),
  };

  protected override describeContext(chosen: ChosenContext): string {
    return secretsNotice(chosen);
  }

  async run(): Promise<void> {
    const { args, flags } = await this.parse(SecretRemove);
    const names = args.names.map(parseSecretName);
    await using runtime = await this.openRuntime();
    const removed = await forEachOf(names, async (name) => {
      const secret = await runtime.secrets.remove(name, { signal: this.interrupt.signal });
      if (!flags.json && !flags.quiet) this.print(secret.name);
      return secret;
    });
    if (flags.json) this.printJson(removed.results.map(secretJson));
    removed.throwFailures("secrets");
  }
}
