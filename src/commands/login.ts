/** `sbx login`: from now on, commands work on a server. */
import * as Args from "@oclif/core/args";
import * as Flags from "@oclif/core/flags";
import { loadContexts } from "../cli/contexts/change-contexts.ts";
import { keepLogin, planLogin, requireOrganisation, verifyLogin } from "../cli/contexts/log-in.ts";
import { switchFlag } from "../cli/flags/common.ts";
import { prose } from "../cli/output/prose.ts";
import { parseOrganisation } from "../cli/parsers/token-options.ts";
import { PlainCommand } from "../cli/plain-command.ts";
import { askToken } from "../cli/prompts/token.ts";

export default class Login extends PlainCommand {
  static override summary = "Use the sandboxes of a server, and not of this machine.";

  static override description = prose(`
Asks for a token of that server (sbx token create makes one there), tries it, and keeps it with the address as a context,
which commands use from then on. sbx context use local goes back to this machine, and --context NAME is for one command.

The token is typed where it is asked for, or comes from SBX_TOKEN, or with --token-stdin from stdin. It cannot be an
argument: every process can read those. It is kept in a file that only you can read ($XDG_CONFIG_HOME/sbx/contexts.json,
usually below ~/.config).`);

  static override examples = [
    { description: "Asks for the token", command: "<%= config.bin %> login https://sandboxes.example" },
    {
      description: "Under a name of your own, without a terminal",
      command: "<%= config.bin %> login https://sandboxes.example --name work --token-stdin < token",
    },
    { description: "With a personal token", command: "<%= config.bin %> login https://sandboxes.example --org acme" },
    { description: "Again, with another token", command: "<%= config.bin %> login work" },
  ];

  static override args = {
    server: Args.string({
      description: "Its address, or the name of a context to log in to again.",
      required: true,
      ignoreStdin: true,
    }),
  };

  static override flags = {
    name: Flags.string({ summary: "Name of the context; made of the address if absent.", helpValue: "NAME" }),
    org: Flags.string({
      summary: "Organisation, for a personal token.",
      ...{ helpValue: "ORG", aliases: ["organisation"], parse: async (text: string) => parseOrganisation(text) },
    }),
    "token-stdin": switchFlag({ summary: "Read the token from stdin." }),
    "sandbox-endpoint": Flags.string({
      summary: "Where its sandboxes are reached, if that is another address.",
      helpValue: "URL",
    }),
    "insecure-http": switchFlag({ summary: "Take an address without TLS that is not this machine's." }),
  };

  async run(): Promise<void> {
    const { args, flags } = await this.parse(Login);
    const { context } = this;
    const { signal } = this.interrupt;
    const insecure = flags["insecure-http"];
    const plan = planLogin(
      {
        ...{ server: args.server, name: flags.name, organisation: flags.org },
        ...{ sandboxEndpoint: flags["sandbox-endpoint"], insecure },
      },
      await loadContexts(context.env),
    );
    const { name, endpoint, organisation } = plan;
    if (insecure && endpoint.startsWith("http:")) {
      this.notice(`${endpoint} is HTTP without TLS: whoever is on the way can read the token and everything else`);
    }
    const token = await askToken({ endpoint, fromStdin: flags["token-stdin"], context, signal });
    requireOrganisation(plan, token);
    const call = { context, settings: this.loadedSettings.settings, signal };
    await verifyLogin(plan, token, call);
    await keepLogin(plan, token, call);
    if (flags.json) this.printJson({ name, endpoint, organisation });
    else if (!flags.quiet) {
      this.notice(`commands use ${endpoint} now, as the context ${name}; sbx context use local goes back`);
      if ((context.env.SBX_CONTEXT ?? "") !== "") this.notice("SBX_CONTEXT is set here and goes before it");
    }
  }
}
