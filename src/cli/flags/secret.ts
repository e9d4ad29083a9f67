/** Where a secret's value comes from; shared by `secret set` and `secret rotate`. */
import { resolve } from "node:path";
import * as Flags from "@oclif/core/flags";
import type { SecretSource } from "../../runtime/types.ts";
import { quoteValue, usageError } from "../parsers/usage-error.ts";

const MAX_COMMAND_CHARS = 8192;
const VARIABLE = /^[^=\s\p{Cc}]{1,255}$/u;

const exclusive = ["from-env", "from-command", "from-file"];
const others = (name: string): string[] => exclusive.filter((other) => other !== name);

export const sourceFlags = {
  "from-env": Flags.string({
    summary: "Read the value from this variable, anew for each sandbox.",
    helpValue: "VARIABLE",
    exclusive: others("from-env"),
    parse: async (text) => {
      if (!VARIABLE.test(text)) throw usageError(`${quoteValue(text)} cannot be the name of a variable`);
      return text;
    },
  }),
  "from-command": Flags.string({
    summary: "Read the value from what this line prints (sh -c, on this machine), anew for each sandbox.",
    helpValue: "COMMAND",
    exclusive: others("from-command"),
    parse: async (text) => {
      if (text.trim() === "" || text.length > MAX_COMMAND_CHARS || text.includes("\0")) {
        throw usageError(
          "the line of --from-command is empty or too long",
          "such as --from-command 'pass show api-key'",
        );
      }
      return text;
    },
  }),
  "from-file": Flags.string({
    summary: "Read the value from this file, anew for each sandbox.",
    helpValue: "FILE",
    exclusive: others("from-file"),
    parse: async (text) => {
      if (text === "" || text.includes("\0")) throw usageError("the path of --from-file must not be empty");
      return text;
    },
  }),
};

export interface SourceFlagValues {
  "from-env"?: string | undefined;
  "from-command"?: string | undefined;
  "from-file"?: string | undefined;
}

/** The source that an option names, if one does. */
export function sourceOf(flags: SourceFlagValues, cwd: string): SecretSource | undefined {
  if (flags["from-env"] !== undefined) return { kind: "env", variable: flags["from-env"] };
  if (flags["from-command"] !== undefined) return { kind: "command", command: flags["from-command"] };
  if (flags["from-file"] !== undefined) return { kind: "file", path: resolve(cwd, flags["from-file"]) };
  return undefined;
}
