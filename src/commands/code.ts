/** `sbx code`: VS Code on a sandbox, on the desktop or in the browser. */
import * as Args from "@oclif/core/args";
import * as Flags from "@oclif/core/flags";
import { SbxCommand } from "../cli/base-command.ts";
import { desktopArguments, findDesktopEditor, openDesktopEditor, requireSshConfig } from "../cli/editor/desktop.ts";
import { hasBrowser, openPage } from "../cli/editor/open-page.ts";
import { switchFlag } from "../cli/flags/common.ts";
import { sandboxArg } from "../cli/flags/sandbox-arg.ts";
import { prose } from "../cli/output/prose.ts";
import { parseEditorFolder } from "../cli/parsers/editor-folder.ts";
import { parseSandboxRef } from "../cli/parsers/names.ts";
import type { Runtime } from "../runtime/runtime.ts";

/** The home of the user that sandboxes are used as. */
const HOME = "/home/app";

interface CodeFlags {
  open?: boolean | undefined;
  json: boolean;
  quiet: boolean;
}

export default class Code extends SbxCommand {
  static override summary = "Edit in a sandbox with VS Code.";

  static override description = prose(`
Opens VS Code of this machine where there is one (the program code, with its extension Remote-SSH; run sbx ssh-config
once before). Otherwise, and with --web, VS Code runs in the sandbox, in your browser: it is downloaded once, started
when it is first asked for, and its URL is printed. The URL opens it to whoever has it; keep it to yourself.

In the browser it needs nothing of the network. Extensions are offered if the sandbox may reach where they are from:
sbx net allow SANDBOX open-vsx.org.`);

  static override usage = ["code SANDBOX [PATH] [--web] [--no-open]", "code SANDBOX --stop"];

  static override examples = [
    { description: "The user's home", command: "<%= config.bin %> code box" },
    { description: "A project, in the browser", command: "<%= config.bin %> code box /app --web" },
    { description: "Only its URL", command: "<%= config.bin %> code box --web --no-open" },
    { description: "End it, with all that runs in its terminals", command: "<%= config.bin %> code box --stop" },
  ];

  static override args = {
    sandbox: sandboxArg,
    path: Args.string({ description: "Folder in the sandbox; the user's home if absent.", ignoreStdin: true }),
  };

  static override flags = {
    web: switchFlag({ summary: "In the browser, also where VS Code is installed." }),
    open: Flags.boolean({ summary: "Open the browser; else only at a desktop's terminal.", allowNo: true }),
    stop: switchFlag({ summary: "End VS Code in the sandbox.", exclusive: ["web", "open"] }),
  };

  async run(): Promise<void> {
    const { args, flags } = await this.parse(Code);
    const ref = parseSandboxRef(args.sandbox);
    const folder = args.path === undefined ? undefined : parseEditorFolder(args.path);
    await using runtime = await this.openRuntime();
    const program = flags.web ? undefined : findDesktopEditor(this.context.env);
    if (flags.stop) await this.#stop(runtime, ref, flags);
    else if (program === undefined) await this.#openWeb(runtime, ref, folder, flags);
    else await this.#openDesktop(runtime, ref, { program, folder, flags });
  }

  async #openDesktop(
    runtime: Runtime,
    ref: string,
    { program, folder = HOME, flags }: { program: string; folder: string | undefined; flags: CodeFlags },
  ): Promise<void> {
    const { name, id } = await runtime.get(ref, { signal: this.interrupt.signal });
    const sandbox = name ?? id;
    await requireSshConfig(runtime.ssh, this.context.env, sandbox);
    const args = desktopArguments(sandbox, folder);
    if (flags.open !== false) await openDesktopEditor(program, args, this.context.env);
    if (flags.json) this.printJson({ where: "desktop", folder, command: [program, ...args] });
    else if (flags.open === false) this.print([program, ...args].join(" "));
  }

  async #openWeb(runtime: Runtime, ref: string, folder: string | undefined, flags: CodeFlags): Promise<void> {
    using progress = this.openProgress({ quiet: flags.quiet || flags.json });
    const options = { signal: this.interrupt.signal, onProgress: progress.onProgress };
    const editor = await runtime.editor.open(ref, folder === undefined ? {} : { folder }, options);
    progress.stop();
    const wantsPage = flags.open ?? (!flags.json && hasBrowser(this.context));
    const isOpen = wantsPage && (await openPage(editor.url, this.context.env));
    if (wantsPage && !isOpen) this.notice("there is no program that opens a browser: open the URL yourself");
    if (flags.json) this.printJson({ where: "browser", ...editor });
    else this.print(editor.url);
  }

  async #stop(runtime: Runtime, ref: string, flags: CodeFlags): Promise<void> {
    const stopped = await runtime.editor.stop(ref, { signal: this.interrupt.signal });
    if (flags.json) this.printJson({ stopped });
    else if (!flags.quiet) this.notice(stopped ? `VS Code in ${ref} has ended` : `VS Code does not run in ${ref}`);
  }
}
