/** `sbx app env`: the variables of an app. */
import * as Args from "@oclif/core/args";
import * as Flags from "@oclif/core/flags";
import { SbxCommand } from "../../cli/base-command.ts";
import { appArg } from "../../cli/flags/app.ts";
import { prose } from "../../cli/output/prose.ts";
import { renderTable } from "../../cli/output/table.ts";
import { parseEnvPair } from "../../cli/parsers/env-pair.ts";
import { askHidden, readHidden } from "../../cli/prompts/hidden-text.ts";
import { VARIABLE_COLUMNS, variableRow } from "../../cli/view/app-view.ts";
import { MAX_VARIABLE_BYTES, type EnvVariableChange } from "../../runtime/apps.ts";

const CONTEXTS = ["production", "development", "build"] as const;

export default class AppEnv extends SbxCommand {
  static override summary = "Show or change the variables of an app.";

  static override description = prose(`
Without a change it lists them. Revisions that are there keep the variables that they were made with: deploy again.

A secret is asked for, or read from stdin; it is never shown again. Unlike a secret of a sandbox (sbx secret), the program
of the app has its value.`);

  static override examples = [
    { description: "What there is", command: "<%= config.bin %> app env shop" },
    { description: "Some more", command: "<%= config.bin %> app env shop MODE=fast LEVEL=2" },
    {
      description: "One for production alone",
      command: "<%= config.bin %> app env shop URL=https://a.example --for production",
    },
    { description: "A secret", command: "<%= config.bin %> app env shop --secret API_KEY < key.txt" },
  ];

  static override args = {
    app: appArg,
    variables: Args.string({ description: "NAME=VALUE.", multiple: true, ignoreStdin: true }),
  };

  static override flags = {
    secret: Flags.string({ summary: "Secret to set; its value is no argument.", helpValue: "NAME" }),
    remove: Flags.string({
      summary: "Variable to remove.",
      helpValue: "NAME",
      multiple: true,
      multipleNonGreedy: true,
    }),
    for: Flags.option({
      summary: "Where it is there; everywhere if absent.",
      options: CONTEXTS,
      multiple: true,
      multipleNonGreedy: true,
    })(),
  };

  async run(): Promise<void> {
    const { args, flags } = await this.parse(AppEnv);
    const { signal } = this.interrupt;
    const contexts = flags.for === undefined ? {} : { contexts: [...flags.for] };
    const env: EnvVariableChange[] = (args.variables ?? []).map((text) => {
      const [key, value] = parseEnvPair(text, this.context.env);
      return { key, value, ...contexts };
    });
    for (const key of flags.remove ?? []) env.push({ key, remove: true, ...contexts });
    await using runtime = await this.openRuntime();
    const { id } = await runtime.apps.get(args.app, { signal });
    if (flags.secret !== undefined) {
      env.push({ key: flags.secret, value: await this.#secretValue(flags.secret), isSecret: true, ...contexts });
    }
    const app =
      env.length === 0 ? await runtime.apps.get(id, { signal }) : await runtime.apps.update(id, { env }, { signal });
    if (flags.json) this.printJson(app.env);
    else if (flags.quiet) for (const { key } of app.env) this.print(key);
    else {
      const display = { width: this.stdoutWidth, palette: await this.stdoutPalette() };
      this.print(renderTable(VARIABLE_COLUMNS, app.env.map(variableRow), display));
    }
  }

  async #secretValue(name: string): Promise<string> {
    const prompt = { context: this.context, signal: this.interrupt.signal };
    if (this.context.stdin.isTTY === true) return askHidden(`Value of ${name}`, prompt);
    return readHidden(`the value of ${name}`, MAX_VARIABLE_BYTES, prompt);
  }
}
