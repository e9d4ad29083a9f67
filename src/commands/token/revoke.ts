/** `sbx token revoke`: from now on a control plane on this machine refuses them. */
import * as Args from "@oclif/core/args";
import { PlainCommand } from "../../cli/plain-command.ts";
import { serverDataFlag } from "../../cli/flags/server.ts";
import { forEachOf } from "../../cli/for-each.ts";
import { openTokens } from "../../cli/serve/token-access.ts";
import { tokenJson } from "../../cli/view/token-view.ts";

export default class TokenRevoke extends PlainCommand {
  static override aliases = ["token:rm"];
  static override summary = "Revoke tokens for sbx serve.";

  static override description =
    "A server that runs refuses them from the next request on, and hangs up on connections that were made with them within seconds. Sandboxes with a fixed lifetime go on.";

  static override examples = [
    { description: "By name or id", command: "<%= config.bin %> token revoke ci" },
    { description: "All", command: "<%= config.bin %> token list -q | xargs <%= config.bin %> token revoke" },
  ];

  static override args = {
    tokens: Args.string({ description: "Ids or names.", multiple: true, required: true, ignoreStdin: true }),
  };

  static override flags = { data: serverDataFlag };

  async run(): Promise<void> {
    const { args, flags } = await this.parse(TokenRevoke);
    using tokens = await openTokens(flags.data);
    const revoked = await forEachOf(args.tokens, async (ref) => {
      const record = tokens.revoke(ref);
      if (!flags.json && !flags.quiet) this.print(record.id);
      return record;
    });
    if (flags.json) this.printJson(revoked.results.map(tokenJson));
    revoked.throwFailures("tokens");
  }
}
