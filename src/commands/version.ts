/** `sbx version`: the same as --version, and more of it as JSON. */
import { PlainCommand } from "../cli/plain-command.ts";

export default class Version extends PlainCommand {
  static override summary = "Show the version of sbx.";

  static override examples = [{ description: "For a program", command: "<%= config.bin %> version --json" }];

  async run(): Promise<void> {
    const { flags } = await this.parse(Version);
    const { version, userAgent, platform, arch } = this.config;
    if (flags.json) this.printJson({ version, platform, arch, node: process.version });
    else this.print(flags.quiet ? version : userAgent);
  }
}
