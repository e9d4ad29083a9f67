/** Variables of apps and layers on a command line: what is to be changed of them. */
import * as Args from "@oclif/core/args";
import * as Flags from "@oclif/core/flags";
import { MAX_VARIABLE_BYTES, type EnvVariableChange } from "../../runtime/apps.ts";
import type { CommandContext } from "../context.ts";
import { parseEnvPair } from "../parsers/env-pair.ts";
import { askHidden, readHidden } from "../prompts/hidden-text.ts";

const CONTEXTS = ["production", "development", "build"] as const;
const repeated = { multiple: true, multipleNonGreedy: true } as const;

export const variablesArg = Args.string({ description: "NAME=VALUE.", multiple: true, ignoreStdin: true });

export const variableFlags = {
  secret: Flags.string({ summary: "Secret to set; its value is no argument.", helpValue: "NAME" }),
  remove: Flags.string({ summary: "Variable to remove.", helpValue: "NAME", ...repeated }),
  for: Flags.option({ summary: "Where it is there; everywhere if absent.", options: CONTEXTS, ...repeated })(),
};

interface VariableValues {
  secret?: string | undefined;
  remove?: string[] | undefined;
  for?: (typeof CONTEXTS)[number][] | undefined;
}

/** A secret is asked for, or read from stdin. @throws SbxError `usage`, `aborted` */
export async function readVariables(
  texts: readonly string[],
  flags: VariableValues,
  { context, signal }: { context: CommandContext; signal: AbortSignal },
): Promise<EnvVariableChange[]> {
  const contexts = flags.for === undefined ? {} : { contexts: [...flags.for] };
  const changes: EnvVariableChange[] = texts.map((text) => {
    const [key, value] = parseEnvPair(text, context.env);
    return { key, value, ...contexts };
  });
  for (const key of flags.remove ?? []) changes.push({ key, remove: true, ...contexts });
  if (flags.secret === undefined) return changes;
  const isTyped = context.stdin.isTTY === true;
  const prompt = { context, signal };
  const value = isTyped
    ? await askHidden(`Value of ${flags.secret}`, prompt)
    : await readHidden(`the value of ${flags.secret}`, MAX_VARIABLE_BYTES, prompt);
  return [...changes, { key: flags.secret, value, isSecret: true, ...contexts }];
}
