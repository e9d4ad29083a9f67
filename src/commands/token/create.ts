/** `sbx token create`: a token for programs that use a control plane on this machine. */
import * as Args from "@oclif/core/args";
import * as Flags from "@oclif/core/flags";
import { PlainCommand } from "../../cli/plain-command.ts";
import { durationFlag, switchFlag } from "../../cli/flags/common.ts";
import { serverDataFlag } from "../../cli/flags/server.ts";
import { prose } from "../../cli/output/prose.ts";
import { organisationsOf, parseOrganisation, parseTokenName } from "../../cli/parsers/token-options.ts";
import { openTokens, SCOPES } from "../../cli/serve/token-access.ts";
import { tokenJson } from "../../cli/view/token-view.ts";

const MAX_LIFE_MS = 3650 * 86_400_000;

export default class TokenCreate extends PlainCommand {
  static override summary = "Make a token for sbx serve.";

  static override description = prose(`
It is printed this once: only its hash is kept. An organisation is there as soon as it has a token; it has sandboxes,
volumes, snapshots and limits of its own, and nobody else's token reaches them. A personal token is for several, and its
user names one with each request (DENO_DEPLOY_ORG).

Scopes: read is for lists, sandboxes for making, using and ending them, volumes for changing volumes and snapshots, apps
for changing apps and layers and for deploying.`);

  static override examples = [
    { description: "For yourself", command: "export DENO_DEPLOY_TOKEN=$(<%= config.bin %> token create)" },
    {
      description: "For an organisation, for 30 days",
      command: "<%= config.bin %> token create ci --org acme --expires 30d",
    },
    { description: "One that can only look", command: "<%= config.bin %> token create dashboard --scope read" },
  ];

  static override args = { name: Args.string({ description: "To revoke it by.", ignoreStdin: true }) };

  static override flags = {
    org: Flags.string({
      summary: "Organisation that it is for; yours, local, if absent.",
      helpValue: "ORG",
      ...{ multiple: true, multipleNonGreedy: true, parse: async (text: string) => parseOrganisation(text) },
    }),
    personal: switchFlag({ summary: "A person's token, which may be for several organisations." }),
    scope: Flags.option({
      summary: "What it is good for; everything if absent.",
      options: SCOPES,
      ...{ multiple: true, multipleNonGreedy: true },
    })(),
    expires: durationFlag({ summary: "After this it is refused.", minMs: 1000, maxMs: MAX_LIFE_MS }),
    data: serverDataFlag,
  };

  async run(): Promise<void> {
    const { args, flags } = await this.parse(TokenCreate);
    const now = this.context.now();
    const organisations = organisationsOf(flags.org ?? [], flags.personal);
    const name = args.name === undefined ? null : parseTokenName(args.name);
    using tokens = await openTokens(flags.data);
    const { token, record } = tokens.create({
      ...{ name, organisations, kind: flags.personal ? "personal" : "organisation" },
      scopes: [...new Set(flags.scope ?? SCOPES)],
      ...{ createdAt: now, expiresAt: flags.expires === undefined ? null : now + flags.expires },
    });
    if (flags.json) this.printJson({ ...tokenJson(record), token });
    else this.print(token);
    if (flags.json || flags.quiet) return;
    this.notice(`${record.id} is for ${organisations.join(", ")}; the token is shown this once`);
  }
}
