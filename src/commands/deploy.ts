/** `sbx deploy`: from a sandbox, or a directory, to an app. */
import * as Args from "@oclif/core/args";
import * as Flags from "@oclif/core/flags";
import { SbxCommand } from "../cli/base-command.ts";
import { findOrMakeApp, findSource } from "../cli/deploy/deploy-source.ts";
import { findRevisionUrl, requireUp } from "../cli/deploy/revision-url.ts";
import { appArg, configFlags, readConfig } from "../cli/flags/app.ts";
import { switchFlag } from "../cli/flags/common.ts";
import { openPalette } from "../cli/output/palette.ts";
import { prose } from "../cli/output/prose.ts";
import { buildLine, revisionJson } from "../cli/view/app-view.ts";
import type { AppConfig } from "../runtime/apps.ts";
import type { Runtime } from "../runtime/runtime.ts";

export default class Deploy extends SbxCommand {
  static override summary = "Deploy a sandbox's directory, or one of this machine, to an app.";

  static override description = prose(`
Makes a revision: a copy of the files that never changes, with the app's settings and variables, and the network and
stored secrets of the sandbox. It is started in a machine of its own; once it answers requests it becomes what the app's
name leads to with --prod, and has a name of its own without. One that does not come up changes nothing.

SOURCE is a sandbox, or a directory (with a slash in it, or a dot). An app that is not there yet is made. Names of apps lead
somewhere while sbx serve runs, which it does from then on: https://APP.localhost:PORT, and
https://APP-REVISION.localhost:PORT for what is not in production. An app that nobody asks for stops after some minutes, and the next request starts it again.`);

  static override examples = [
    {
      description: "What was tried",
      command: "<%= config.bin %> deploy box shop --prod --cwd /home/app/shop --entrypoint server.ts",
    },
    { description: "A directory", command: "<%= config.bin %> deploy ./site docs --prod --static ." },
    {
      description: "Built first, where it is",
      command:
        '<%= config.bin %> deploy box web --build local --install-command "npm ci" --build-command "npm run build"',
    },
  ];

  static override args = {
    source: Args.string({ description: "Sandbox or directory.", required: true, ignoreStdin: true }),
    app: appArg,
  };

  static override flags = {
    prod: switchFlag({ summary: "To production; a preview if absent." }),
    cwd: Flags.string({ summary: "Directory in the sandbox; its home if absent.", helpValue: "PATH" }),
    build: Flags.option({
      summary: "Whether commands of the app run first; none if absent.",
      options: ["none", "local"] as const,
      default: "none",
    })(),
    serve: Flags.boolean({
      summary: "Have sbx serve run on this machine, in the background if it does not.",
      default: true,
      allowNo: true,
    }),
    ...configFlags,
  };

  async run(): Promise<void> {
    const { args, flags } = await this.parse(Deploy);
    const { signal } = this.interrupt;
    const given = readConfig(flags);
    await using runtime = await this.openRuntime();
    const source = await findSource(runtime, args.source, { cwd: flags.cwd, signal });
    const { app, isNew } = await findOrMakeApp(runtime, args.app, signal);
    if (isNew && !flags.quiet && !flags.json) this.notice(`the app ${app.slug} is new`);
    // What was given goes before what the app says; without a build there are no commands, whoever says them.
    const config: AppConfig = {
      ...app.config,
      ...given,
      ...(flags.build === "none" && { install: null, build: null }),
    };
    if (given?.runtime !== undefined) delete config.framework;
    if (given?.framework !== undefined) delete config.runtime;
    const spec = { source, config, production: flags.prod, preview: !flags.prod };
    const { id } = await runtime.apps.deploy(app.id, spec, { signal });
    const said = await this.#follow(runtime, id, flags);
    const revision = await runtime.apps.revisions.get(id, { signal });
    requireUp(revision, app.slug, said);
    const notice = (text: string): void => {
      if (!flags.json && !flags.quiet) this.notice(text);
    };
    notice(`the revision is ${id}`);
    const timelines = await runtime.apps.revisions.timelines(id, { signal });
    const domain = timelines.find(({ slug }) => (slug === "production") === flags.prod)?.domains[0];
    const url = await findRevisionUrl({
      ...{ name: flags.prod ? app.slug : `${app.slug}-${id}`, domain, serves: flags.serve, notice, signal },
      ...{ isHere: (await this.chosenContext).endpoints === null, env: this.context.env },
    });
    if (flags.json) this.printJson({ ...revisionJson(revision), url: url ?? null });
    else this.print(url ?? id);
  }

  async #follow(
    { apps: { revisions } }: Runtime,
    id: string,
    { json, quiet }: { json: boolean; quiet: boolean },
  ): Promise<string | undefined> {
    const { signal } = this.interrupt;
    const palette = await openPalette(this.context.stderr, this.context.env);
    let last: string | undefined;
    try {
      for await (const line of revisions.buildLogs(id, { signal })) {
        if (line.level === "error") last = line.message;
        if (!json && !quiet) this.context.stderr.write(`${buildLine(line, palette)}\n`);
      }
    } catch (error) {
      if (signal.aborted) await revisions.cancel(id);
      throw error;
    }
    return last;
  }
}
