/** `sbx completion`: scripts that let a shell complete sbx's words. */
import * as Args from "@oclif/core/args";
import { PlainCommand } from "../cli/plain-command.ts";
import { COMPLETION_SCRIPTS, COMPLETION_SHELLS } from "../cli/completion/scripts.ts";
import { prose } from "../cli/output/prose.ts";

export default class Completion extends PlainCommand {
  static override summary = "Print a script that completes commands, options and names in your shell.";

  static override description = prose(`
  bash: add source <(sbx completion bash) to ~/.bashrc
  zsh:  add source <(sbx completion zsh) to ~/.zshrc
  fish: sbx completion fish > ~/.config/fish/completions/sbx.fish`);

  static override examples = [
    { description: "In this shell, now", command: "source <(<%= config.bin %> completion bash)" },
  ];

  static override args = {
    shell: Args.option({ options: COMPLETION_SHELLS })({
      description: "Your shell.",
      required: true,
      ignoreStdin: true,
    }),
  };

  async run(): Promise<void> {
    const { args } = await this.parse(Completion);
    this.context.stdout.write(COMPLETION_SCRIPTS[args.shell]);
  }
}
