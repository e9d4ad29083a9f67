/** `sbx logout`: the token of a context is forgotten. */
import * as Args from "@oclif/core/args";
import { changeContexts, findStored } from "../cli/contexts/change-contexts.ts";
import { findContext } from "../cli/contexts/find-context.ts";
import { prose } from "../cli/output/prose.ts";
import { usageError } from "../cli/parsers/usage-error.ts";
import { PlainCommand } from "../cli/plain-command.ts";

export default class Logout extends PlainCommand {
  static override summary = "Forget the token of a server.";

  static override description = prose(`
The context stays, and says so until you log in again or use another one: nothing goes back to this machine by itself.
The server still takes the token. To end that, revoke it there (sbx token revoke).`);

  static override examples = [
    { description: "Of the context in use", command: "<%= config.bin %> logout" },
    { description: "Of another one", command: "<%= config.bin %> logout work" },
  ];

  static override args = {
    context: Args.string({ description: "Context; the one in use if absent.", ignoreStdin: true }),
  };

  async run(): Promise<void> {
    const { args, flags } = await this.parse(Logout);
    const { env } = this.context;
    const name = args.context ?? (await this.#inUse());
    const endpoint = await changeContexts(env, (contexts) => {
      const found = findStored(contexts, name);
      contexts.contexts[name] = { ...found, token: null };
      return found.endpoint;
    });
    if (flags.json) this.printJson({ name, endpoint });
    else if (!flags.quiet)
      this.notice(`the token for ${endpoint} is forgotten; the server still takes it until it is revoked there`);
  }

  async #inUse(): Promise<string> {
    const { name, isStored } = await findContext(this.context.env, undefined);
    if (isStored) return name;
    throw usageError("no login is in use", "sbx context list");
  }
}
