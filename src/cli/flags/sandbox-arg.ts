/** The operand of commands about one sandbox. */
import * as Args from "@oclif/core/args";

export const sandboxArg = Args.string({
  description: "Id or name, or the beginning of either.",
  required: true,
  ignoreStdin: true,
});
