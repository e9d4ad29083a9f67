/** `sbx secret rotate`: a new value for a stored secret, also in the sandboxes that use it. */
import * as Args from "@oclif/core/args";
import { SbxCommand } from "../../cli/base-command.ts";
import { secretsNotice, type ChosenContext } from "../../cli/contexts/find-context.ts";
import { sourceFlags, sourceOf } from "../../cli/flags/secret.ts";
import { prose } from "../../cli/output/prose.ts";
import { parseSecretName } from "../../cli/parsers/secret-request.ts";
import { askSecretValue } from "../../cli/prompts/secret-value.ts";
import { rotatedLine, secretJson } from "../../cli/view/secret-view.ts";
import { SbxError } from "../../runtime/errors.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import type { SecretSource } from "../../runtime/types.ts";

export default class SecretRotate extends SbxCommand {
  static override summary = "Give a stored secret a new value, also in running sandboxes.";

  static override description = prose(`
The value comes the same ways as with sbx secret set; a secret with a source (a variable, a command, a file) is read anew
unless another one is given. Running sandboxes that use it put the new value into requests from now on, and treat the
old one as a leak wherever it turns up. The exit status is 1 if one of them could not be told.`);

  static override examples = [
    { description: "Asks for the value", command: "<%= config.bin %> secret rotate EXAMPLE_API_KEY" },
    { description: "From a pipe", command: "new-key | <%= config.bin %> secret rotate EXAMPLE_API_KEY" },
  ];

  static override args = {
    name: Args.string({ description: "Name of the secret.", required: true, ignoreStdin: true }),
  };

  static override flags = sourceFlags;

  protected override describeContext(chosen: ChosenContext): string {
    return secretsNotice(chosen);
  }

  async run(): Promise<void> {
    const { args, flags } = await this.parse(SecretRotate);
    const name = parseSecretName(args.name);
    await using runtime = await this.openRuntime();
    const source = sourceOf(flags, this.context.cwd) ?? (await this.#presentSource(runtime, name));
    const call = { signal: this.interrupt.signal, environment: this.context.env };
    const { secret, sandboxes } = await runtime.secrets.rotate(name, source, call);
    if (flags.json) this.printJson({ secret: secretJson(secret), sandboxes });
    else if (!flags.quiet) {
      for (const sandbox of sandboxes) this.print(rotatedLine(sandbox));
      if (sandboxes.length === 0) this.notice(`${name} has a new value; no running sandbox uses it`);
    }
    if (sandboxes.some(({ problem }) => problem !== null)) this.context.setExitStatus(1);
  }

  /** `null` where the secret has a source to read anew; a new value otherwise. */
  async #presentSource(runtime: Runtime, name: string): Promise<SecretSource | null> {
    const { signal } = this.interrupt;
    const { secrets } = await runtime.secrets.list({ signal });
    const present = secrets.find((secret) => secret.name === name);
    if (present === undefined) {
      throw new SbxError("secret_not_found", `no secret is stored as ${name}`, { hint: "sbx secret list" });
    }
    if (present.source !== "value") return null;
    return { kind: "value", value: await askSecretValue(name, { context: this.context, signal }) };
  }
}
