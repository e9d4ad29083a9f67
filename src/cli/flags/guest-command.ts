/** Options that say how a command runs in the guest; shared by `create`, `run` and `exec`. */
import { readFileSync, statSync } from "node:fs";
import * as Flags from "@oclif/core/flags";
import { SbxError } from "../../runtime/errors.ts";
import { MAX_ENV_FILE_BYTES, parseEnvFile } from "../parsers/env-file.ts";
import { parseEnvPair, type HostEnvironment } from "../parsers/env-pair.ts";
import { formatSize } from "../parsers/size.ts";
import { usageError } from "../parsers/usage-error.ts";
import type { TerminalChoices } from "../session/run-session.ts";
import { switchFlag } from "./common.ts";

const NO_ESCAPE_KEY = "none";
const ACCOUNT = /^[a-z_][a-z0-9_.-]{0,31}$|^\d{1,10}$/i;

export const environmentFlags = {
  env: Flags.string({
    char: "e",
    summary: "Set a variable; NAME alone passes on the one set here.",
    helpValue: "NAME=VALUE",
    multiple: true,
    multipleNonGreedy: true,
  }),
  "env-file": Flags.string({
    summary: "Set the variables of a file, one NAME=VALUE a line.",
    helpValue: "FILE",
    multiple: true,
    multipleNonGreedy: true,
  }),
};

const terminalFlags = {
  "escape-key": Flags.string({
    summary: "First of the keys that leave a session (after Enter, with a dot), or none.",
    helpValue: "CHAR",
    default: "~",
    parse: async (text) => {
      if (text !== NO_ESCAPE_KEY && !/^[!-~]$/.test(text)) {
        throw usageError(`${JSON.stringify(text)} cannot be the escape key`, 'one printable character, or "none"');
      }
      return text;
    },
  }),
  unfiltered: switchFlag({ summary: "Let all control sequences of the sandbox reach the terminal." }),
};

/** Where and how it runs. */
export const placeFlags = {
  ...terminalFlags,
  cwd: Flags.string({
    char: "w",
    summary: "Directory in the sandbox to run in.",
    helpValue: "DIR",
    parse: async (text) => {
      if (text === "" || text.includes("\0")) throw usageError("the directory of --cwd must not be empty");
      return text;
    },
  }),
  user: Flags.string({
    char: "u",
    summary: "Account in the sandbox to run as.",
    helpValue: "USER",
    parse: async (text) => {
      if (!ACCOUNT.test(text)) throw usageError(`${JSON.stringify(text)} cannot be an account`);
      return text;
    },
  }),
};

export const stdinFlags = {
  tty: switchFlag({ char: "t", summary: "Give the command a terminal." }),
  interactive: switchFlag({ char: "i", summary: "Pass stdin on although it is a terminal." }),
  "no-stdin": switchFlag({ summary: "Do not pass stdin on.", exclusive: ["interactive"] }),
};

export interface TerminalFlags {
  quiet?: boolean | undefined;
  "escape-key": string;
  unfiltered: boolean;
}

/** How the user wants a terminal. */
export function readTerminalFlags(flags: TerminalFlags): TerminalChoices {
  const key = flags["escape-key"];
  return { escapeKey: key === NO_ESCAPE_KEY ? undefined : key, unfiltered: flags.unfiltered };
}

/**
 * The variables of `--env-file` and `--env`; the latter win.
 *
 * @throws SbxError `usage` for what does not parse, or a file that cannot be read
 */
export function readEnvironment(
  flags: { env?: string[] | undefined; "env-file"?: string[] | undefined },
  hostEnvironment: HostEnvironment,
): Record<string, string> {
  const fromFiles = (flags["env-file"] ?? []).flatMap((path) =>
    Object.entries(parseEnvFile(readSmallFile(path), path, hostEnvironment)),
  );
  const fromFlags = (flags.env ?? []).map((text) => parseEnvPair(text, hostEnvironment));
  return Object.fromEntries([...fromFiles, ...fromFlags]);
}

function readSmallFile(path: string): string {
  try {
    if (statSync(path).size > MAX_ENV_FILE_BYTES) {
      throw usageError(`--env-file ${path} is larger than ${formatSize(MAX_ENV_FILE_BYTES)}`);
    }
    return readFileSync(path, "utf8");
  } catch (error) {
    if (error instanceof SbxError) throw error;
    throw new SbxError("usage", `--env-file ${path} cannot be read`, { cause: error });
  }
}
