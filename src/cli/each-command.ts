/** Commands that do one thing with each of several that the user named, and print their ids as they are done. */
import { SbxCommand } from "./base-command.ts";
import { forEachOf } from "./for-each.ts";

export abstract class EachCommand extends SbxCommand {
  /**
   * @param what all of them are called, for a message
   * @param toJson an answer under `--json`
   */
  protected async each<T extends { id: string }>(
    refs: readonly string[],
    flags: { json: boolean; quiet: boolean },
    { what, act, toJson }: { what: string; act: (ref: string) => Promise<T>; toJson: (answer: T) => object },
  ): Promise<void> {
    const done = await forEachOf(refs, async (ref) => {
      const answer = await act(ref);
      if (!flags.json && !flags.quiet) this.print(answer.id);
      return answer;
    });
    if (flags.json) this.printJson(done.results.map(toJson));
    done.throwFailures(what);
  }
}
