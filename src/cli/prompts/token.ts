/** The token of a login: from stdin where that is asked for, else of the environment, else typed. Never an argument. */
import { parseToken } from "../../runtime/contexts/endpoint.ts";
import type { CommandContext } from "../context.ts";
import { usageError } from "../parsers/usage-error.ts";
import { askHidden, readHidden } from "./hidden-text.ts";

const MAX_TOKEN_BYTES = 1024;

export interface TokenWish {
  /** Whom it is for. */
  endpoint: string;
  fromStdin: boolean;
  context: Pick<CommandContext, "stdin" | "stderr" | "env">;
  signal: AbortSignal;
}

/** @throws SbxError `usage` where there is none, or what there is cannot be one; `aborted` */
export async function askToken({ endpoint, fromStdin, ...prompt }: TokenWish): Promise<string> {
  const { stdin, stderr, env } = prompt.context;
  if (fromStdin) return parseToken(await readHidden("the token", MAX_TOKEN_BYTES, prompt));
  if (env.SBX_TOKEN !== undefined && env.SBX_TOKEN !== "") return parseToken(env.SBX_TOKEN);
  if (stdin.isTTY === true && stderr.isTTY === true)
    return parseToken(await askHidden(`Token for ${endpoint}`, prompt));
  throw usageError(
    "there is no token, and no terminal to ask for it",
    `sbx login ${endpoint} --token-stdin < FILE, or set SBX_TOKEN`,
  );
}
