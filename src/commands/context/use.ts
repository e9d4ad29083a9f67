/** `sbx context use`: where commands work from now on. */
import * as Args from "@oclif/core/args";
import { changeContexts, findStored } from "../../cli/contexts/change-contexts.ts";
import { PlainCommand } from "../../cli/plain-command.ts";
import { LOCAL_CONTEXT } from "../../runtime/contexts/target.ts";

export default class ContextUse extends PlainCommand {
  static override summary = "Choose the context that commands use.";
  static override description = "For one command alone there is --context NAME, and for a shell or a job SBX_CONTEXT.";

  static override examples = [
    { description: "A server", command: "<%= config.bin %> context use work" },
    { description: "This machine again", command: "<%= config.bin %> context use local" },
  ];

  static override args = { name: Args.string({ description: "Context.", required: true, ignoreStdin: true }) };

  async run(): Promise<void> {
    const { args, flags } = await this.parse(ContextUse);
    const { name } = args;
    const { env } = this.context;
    const endpoint = await changeContexts(env, (contexts) => {
      const found = name === LOCAL_CONTEXT ? null : findStored(contexts, name);
      contexts.current = name;
      return found?.endpoint ?? null;
    });
    if (flags.json) this.printJson({ name, endpoint });
    else if (!flags.quiet) {
      this.notice(`commands use ${endpoint === null ? "this machine" : `the context ${name} (${endpoint})`} now`);
      if ((env.SBX_CONTEXT ?? "") !== "") this.notice("SBX_CONTEXT is set here and goes before it");
    }
  }
}
