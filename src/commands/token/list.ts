/** `sbx token list`: the tokens of a control plane on this machine. */
import { PlainCommand } from "../../cli/plain-command.ts";
import { serverDataFlag } from "../../cli/flags/server.ts";
import { renderTable } from "../../cli/output/table.ts";
import { openTokens } from "../../cli/serve/token-access.ts";
import { TOKEN_COLUMNS, tokenJson, tokenRow } from "../../cli/view/token-view.ts";

export default class TokenList extends PlainCommand {
  static override aliases = ["token:ls"];
  static override summary = "List the tokens for sbx serve.";
  static override description = "The newest first. The tokens themselves are not kept, so nothing can show them.";

  static override examples = [{ description: "All of them", command: "<%= config.bin %> token list" }];

  static override flags = { data: serverDataFlag };

  async run(): Promise<void> {
    const { flags } = await this.parse(TokenList);
    using tokens = await openTokens(flags.data);
    const records = tokens.list();
    if (flags.json) this.printJson(records.map(tokenJson));
    else if (flags.quiet) for (const { id } of records) this.print(id);
    else if (records.length === 0) this.notice("there are no tokens; sbx token create makes one");
    else {
      const rows = records.map((record) => tokenRow(record, this.context.now()));
      this.print(renderTable(TOKEN_COLUMNS, rows, { width: this.stdoutWidth, palette: await this.stdoutPalette() }));
    }
  }
}
