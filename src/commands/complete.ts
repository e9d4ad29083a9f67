/** `sbx complete`: answers a shell's question what could come next. Hidden; says nothing rather than fail. */
import * as Args from "@oclif/core/args";
import * as Flags from "@oclif/core/flags";
import { SbxCommand } from "../cli/base-command.ts";
import { complete, type Candidate, type Completion, type LiveKind } from "../cli/completion/candidates.ts";
import { contextNames, liveNames } from "../cli/completion/live-names.ts";
import { splitLine } from "../cli/completion/split-line.ts";
import { escapeLine } from "../cli/output/escape.ts";

export default class Complete extends SbxCommand {
  static override hidden = true;
  static override summary = "Answer a shell that completes.";

  static override args = {
    words: Args.string({ description: "Words after sbx, the last one unfinished.", multiple: true, ignoreStdin: true }),
  };

  static override flags = { line: Flags.string({ summary: "The line up to the cursor instead.", helpValue: "TEXT" }) };

  protected override describeContext(): undefined {
    return undefined;
  }
  #named: string | undefined;

  /** Of the command that is being written. */
  protected override get namedContext(): string | undefined {
    return this.#named;
  }

  async run(): Promise<void> {
    const { args, flags } = await this.parse(Complete);
    const words = flags.line === undefined ? (args.words ?? []) : splitLine(flags.line).slice(1);
    this.#named = contextOf(words);
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
      const names = await this.#namesOf(live, partial.slice(before.length));
      return names.map(({ value, description }) => ({ value: `${before}${value}${after}`, description }));
    } catch {
      // A shell that completes has nowhere to show an error.
      return [];
    }
  }

  async #namesOf(kind: LiveKind, partial: string): Promise<Candidate[]> {
    if (kind === "contexts") return contextNames(partial, this.context.env);
    await using runtime = await this.openRuntime();
    return await liveNames(kind, partial, runtime);
  }

  /** Whatever goes wrong: a shell that completes has nowhere to show it. */
  protected override async catch(): Promise<void> {
    this.parsed = true;
  }
}

/** The context that a command line names, with its value in the same word or the next one. */
function contextOf(words: readonly string[]): string | undefined {
  const end = words.indexOf("--");
  const own = end === -1 ? words.slice(0, -1) : words.slice(0, end);
  const joined = own.findLast((word) => word.startsWith("--context="));
  const index = own.lastIndexOf("--context");
  return joined?.slice("--context=".length) ?? (index === -1 ? undefined : own[index + 1]);
}
