/** `sbx app open`: an app in the browser. */
import * as Flags from "@oclif/core/flags";
import { SbxCommand } from "../../cli/base-command.ts";
import { findTimeline, timelineName } from "../../cli/deploy/app-timeline.ts";
import { findRevisionUrl } from "../../cli/deploy/revision-url.ts";
import { hasBrowser, openPage } from "../../cli/editor/open-page.ts";
import { appArg } from "../../cli/flags/app.ts";
import { prose } from "../../cli/output/prose.ts";
import { SbxError } from "../../runtime/errors.ts";
import type { TimelineInfo } from "../../runtime/apps.ts";

export default class AppOpen extends SbxCommand {
  static override summary = "Print the URL of an app, and open it in the browser.";

  static override description = prose(`
Of production, or of one revision. On this machine sbx serve is started in the background where it does not run. The
browser is opened at a desktop's terminal only.`);

  static override examples = [
    { description: "Production", command: "<%= config.bin %> app open shop" },
    { description: "A preview", command: "<%= config.bin %> app open shop --revision 0v1mqe3sdyrh" },
    { description: "For a program", command: "<%= config.bin %> app open shop --no-open" },
  ];

  static override args = { app: appArg };

  static override flags = {
    revision: Flags.string({ summary: "Its preview, in place of production.", helpValue: "ID" }),
    open: Flags.boolean({ summary: "Open the browser; else only at a desktop's terminal.", allowNo: true }),
  };

  async run(): Promise<void> {
    const { args, flags } = await this.parse(AppOpen);
    await using runtime = await this.openRuntime();
    const timelines = await runtime.apps.timelines(args.app, { signal: this.interrupt.signal });
    const timeline = findTimeline(args.app, timelines, flags.revision);
    const url = await this.#urlOf(timeline, (text) => {
      if (!flags.json && !flags.quiet) this.notice(text);
    });
    await this.#show(url, flags);
    if (flags.json) this.printJson({ app: timeline.app.slug, revision: timeline.revision, url });
    else this.print(url);
  }

  async #show(url: string, { open, json }: { open?: boolean | undefined; json: boolean }): Promise<void> {
    const wantsPage = open ?? (!json && hasBrowser(this.context));
    if (!wantsPage || (await openPage(url, this.context.env))) return;
    this.notice("there is no program that opens a browser: open the URL yourself");
  }

  /** @throws SbxError `unsupported` where nobody serves it */
  async #urlOf(timeline: TimelineInfo, notice: (text: string) => void): Promise<string> {
    const { endpoints } = await this.chosenContext;
    const [domain] = timeline.domains;
    const place = { name: timelineName(timeline), domain, isHere: true, serves: true };
    const wishes = { ...place, notice, env: this.context.env, signal: this.interrupt.signal };
    const url = endpoints === null || domain !== undefined ? await findRevisionUrl(wishes) : undefined;
    if (url !== undefined) return url;
    throw new SbxError("unsupported", `${timeline.app.slug} has no URL: its server has no gateway`, {
      hint: "docs/gateway.md says how a server has one",
    });
  }
}
