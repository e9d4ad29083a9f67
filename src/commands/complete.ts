/** `sbx complete`: answers a shell's question what could come next. Hidden; says nothing rather than fail. */
import * as Args from "@oclif/core/args";
import * as Flags from "@oclif/core/flags";
import { SbxCommand } from "../cli/base-command.ts";
import { complete, type Candidate, type Completion } from "../cli/completion/candidates.ts";
import { liveNames } from "../cli/completion/live-names.ts";
import { splitLine } from "../cli/completion/split-line.ts";
import { escapeLine } from "../cli/output/escape.ts";

export default class Complete extends SbxCommand {
  static override hidden = true;
  static override summary = "Answer a shell that completes.";

  static override args = {
    words: Args.string({ description: "Words after sbx, the last one unfinished.", multiple: true, ignoreStdin: true }),
  };

  static override flags = { line: Flags.string({ summary: "The line up to the cursor instead.", helpValue: "TEXT" }) };

  async run(): Promise<void> {
    const { args, flags } = await this.parse(Complete);
    const words = flags.line === undefined ? (args.words ?? []) : splitLine(flags.line).slice(1);
    const completion = complete(words, this.config.commands);
    const names = await this.#lookUp(completion, words.at(-1) ?? "");
    for (const { value, description } of [...completion.candidates, ...names]) {
      this.print(description === undefined ? escapeLine(value) : `${escapeLine(value)}\t${escapeLine(description)}`);
    }
    if (completion.files) this.print(":files");
    if (completion.noSpace && names.length > 0) this.print(":nospace");
  }

  async #lookUp({ live, around }: Completion, partial: string): Promise<Candidate[]> {
    if (live === undefined) return [];
    const { before, after } = around ?? { before: "", after: "" };
    try {
      await using runtime = await this.openRuntime();
      const names = await liveNames(live, partial.slice(before.length), runtime);
      return names.map(({ value, description }) => ({ value: `${before}${value}${after}`, description }));
    } catch {
      // A shell that completes has nowhere to show an error.
      return [];
    }
  }

  /** Whatever goes wrong: a shell that completes has nowhere to show it. */
  protected override async catch(): Promise<void> {
    this.parsed = true;
  }
}
