/** `sbx secret list`: the stored secrets, never their values. */
import { SbxCommand } from "../../cli/base-command.ts";
import { secretsNotice, type ChosenContext } from "../../cli/contexts/find-context.ts";
import { renderTable } from "../../cli/output/table.ts";
import { keyText, SECRET_COLUMNS, secretJson, secretRow } from "../../cli/view/secret-view.ts";

export default class SecretList extends SbxCommand {
  static override aliases = ["secret:ls"];
  static override summary = "List the stored secrets, without their values.";

  static override description = "Also says where the key is that they are encrypted with.";

  static override examples = [{ description: "All of them", command: "<%= config.bin %> secret list" }];

  protected override describeContext(chosen: ChosenContext): string {
    return secretsNotice(chosen);
  }

  async run(): Promise<void> {
    const { flags } = await this.parse(SecretList);
    await using runtime = await this.openRuntime();
    const { secrets, key } = await runtime.secrets.list({ signal: this.interrupt.signal });
    if (flags.json) {
      this.printJson({ secrets: secrets.map(secretJson), key });
    } else if (flags.quiet) {
      for (const { name } of secrets) this.print(name);
    } else {
      const rows = secrets.map((secret) => secretRow(secret, this.context.now()));
      const display = { width: this.stdoutWidth, palette: await this.stdoutPalette() };
      this.print(renderTable(SECRET_COLUMNS, rows, display));
      if (key !== null) this.notice(keyText(key));
    }
  }
}
