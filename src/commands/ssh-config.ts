/** `sbx ssh-config`: ssh, scp, sftp, rsync, git and editors know sandboxes by name. */
import { resolve } from "node:path";
import * as Flags from "@oclif/core/flags";
import { SbxCommand } from "../cli/base-command.ts";
import { switchFlag, yesFlag } from "../cli/flags/common.ts";
import { confirm } from "../cli/prompts/confirm.ts";
import { prose } from "../cli/output/prose.ts";
import { addInclude, hasInclude, removeInclude } from "../cli/ssh/include-line.ts";
import { readUserConfig, replaceUserConfig, userConfigPath } from "../cli/ssh/user-config.ts";
import { ownProgram, writeClientConfig, type WrittenConfig } from "../cli/ssh/write-config.ts";

type State = "included" | "not included" | "removed";

export default class SshConfig extends SbxCommand {
  static override summary = "Let ssh, scp, sftp, rsync, git and editors reach sandboxes as NAME.sbx.";

  static override description = prose(`
Writes a configuration file of sbx's own, and adds one line to the top of ~/.ssh/config that includes it, after asking.
Nothing else of yours is changed. The key is sbx's own and opens nothing but your sandboxes; the sandboxes' host keys
are pinned by sbx itself.

Then ssh web.sbx, scp file web.sbx:, rsync -e ssh, git clone web.sbx:repo, Ansible, and Remote-SSH of editors work.
Sign in as another account with ssh root@web.sbx.`);

  static override examples = [
    { description: "Set it up, once", command: "<%= config.bin %> ssh-config" },
    { description: "The same in a script", command: "<%= config.bin %> ssh-config --yes" },
    { description: "Only look at it", command: "<%= config.bin %> ssh-config --print" },
    { description: "Take it back", command: "<%= config.bin %> ssh-config --remove" },
  ];

  static override flags = {
    print: switchFlag({ summary: "Print the configuration; change nothing of yours.", exclusive: ["remove", "yes"] }),
    remove: switchFlag({ summary: "Take the line out of ~/.ssh/config again." }),
    yes: yesFlag,
    file: Flags.string({ summary: "Another file than ~/.ssh/config.", helpValue: "PATH" }),
  };

  async run(): Promise<void> {
    const { flags } = await this.parse(SshConfig);
    const userPath = flags.file === undefined ? userConfigPath() : resolve(this.context.cwd, flags.file);
    const config = await this.#write();
    if (flags.print) {
      if (flags.json) this.printJson({ path: config.path, config: config.text });
      else this.context.stdout.write(config.text);
      return;
    }
    const state = flags.remove ? this.#remove(userPath, config) : await this.#add(userPath, config, flags);
    if (flags.json) this.printJson({ path: config.path, userPath, included: state === "included" });
    else if (!flags.quiet) this.#tell(state, userPath);
  }

  async #write(): Promise<WrittenConfig> {
    await using runtime = await this.openRuntime();
    return await writeClientConfig(runtime.ssh, this.context.env, ownProgram());
  }

  #remove(userPath: string, { path }: WrittenConfig): State {
    const before = readUserConfig(userPath);
    replaceUserConfig(userPath, before, removeInclude(before, path));
    return "removed";
  }

  async #add(
    userPath: string,
    { path }: WrittenConfig,
    { yes, json }: { yes: boolean; json: boolean },
  ): Promise<State> {
    const before = readUserConfig(userPath);
    if (hasInclude(before, path)) return "included";
    const question = `Add a line to ${userPath} that includes ${path}?`;
    const isAsked = this.context.stdin.isTTY === true && this.context.stderr.isTTY === true && !json;
    // A file of the user's own: where nobody can be asked, only on request.
    if (!yes && !isAsked) return "not included";
    const { context } = this;
    if (!(await confirm(question, { context, yes, signal: this.interrupt.signal }))) return "not included";
    replaceUserConfig(userPath, before, addInclude(before, path));
    return "included";
  }

  #tell(state: State, userPath: string): void {
    if (state === "included") this.notice(`${userPath} includes sbx's: try ssh NAME.sbx`);
    else if (state === "removed") this.notice(`${userPath} does not include sbx's any more`);
    else this.notice(`${userPath} was not changed; sbx ssh-config --yes adds the line, sbx ssh works without it`);
  }
}
