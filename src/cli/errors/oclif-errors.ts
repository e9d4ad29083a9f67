/**
 * Turns what oclif throws into SbxErrors, so that there is one funnel. Recognised by shape, not by class: the classes of
 * its parser are not exported. Checked on @oclif/core 5.1.
 */
import { SbxError } from "../../runtime/errors.ts";
import { usageError } from "../parsers/usage-error.ts";
import { findClosest } from "./suggest.ts";

/** Where an error happened, for its hint. */
export interface CommandNames {
  /** Such as `sbx exec`; `sbx` alone outside of a command. */
  program: string;
  /** Long options that the command has, without dashes. */
  options: readonly string[];
}

interface OclifError extends Error {
  oclif: { exit?: number };
  flags?: unknown;
  args?: unknown;
}

/** An error that oclif made to leave with a status, without a message. */
export function exitStatusOf(error: unknown): number | undefined {
  return isOclifError(error) && (error as { code?: unknown }).code === "EEXIT" ? (error.oclif.exit ?? 0) : undefined;
}

/** The SbxError that means the same; `undefined` for an error that is not oclif's. */
export function translateOclifError(error: unknown, names: CommandNames): SbxError | undefined {
  if (error instanceof SbxError) return translateParserFailure(error);
  if (!isOclifError(error)) return undefined;
  const help = `${names.program} --help`;
  if (error.message.startsWith("Nonexistent flag") && isStrings(error.flags)) {
    return unknownOption(error.flags, names);
  }
  if (error.message.startsWith("Unexpected argument") && isStrings(error.args)) {
    return usageError(
      `${names.program} takes no such argument: ${error.args.map((text) => JSON.stringify(text)).join(", ")}`,
      help,
    );
  }
  if (error.message.startsWith("Missing ") && Array.isArray(error.args)) {
    const missing = error.args.map((arg: { name?: unknown }) => String(arg.name).toUpperCase());
    return usageError(`${names.program}: missing ${missing.join(", ")}`, help);
  }
  const choice = /^Expected (.*) to be one of: ([^\n]*)/s.exec(error.message);
  if (choice !== null) {
    return usageError(`${names.program}: ${JSON.stringify(choice[1])} is none of: ${choice[2] ?? ""}`, help);
  }
  const text = error.message
    .replace(/\n?See more help with --help$/, "")
    .replace(/^The following errors? occurred:\s*/, "")
    .replace(/^Parsing (--\S+) \n\t/, "$1: ")
    // oclif dims parts of it; colours are this program's own business.
    .replaceAll(/\u001b\[[0-9;]*m/g, "")
    .trim();
  return usageError(text, help);
}

/** An error of one of sbx's own parsers, whose message oclif wraps with the name of the flag. */
function translateParserFailure(error: SbxError): SbxError {
  const match = /^Parsing (--\S+) \n\t(.*)\nSee more help with --help$/s.exec(error.message);
  if (match === null) return error;
  return usageError(`${match[1] ?? ""}: ${match[2] ?? ""}`, error.hint);
}

function unknownOption(given: readonly string[], names: CommandNames): SbxError {
  const first = given[0] ?? "";
  const near = first.startsWith("--") ? findClosest(first.slice(2).split("=")[0] ?? "", names.options) : undefined;
  return usageError(
    `${names.program} has no option ${given.join(", ")}`,
    near === undefined ? `${names.program} --help` : `did you mean: --${near}`,
  );
}

function isOclifError(error: unknown): error is OclifError {
  return error instanceof Error && typeof (error as { oclif?: unknown }).oclif === "object";
}

function isStrings(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((item) => typeof item === "string");
}
