/**
 * Environment variables for the guest: `NAME=value`, or `NAME` alone for the value that it has here. Input comes from the
 * user; values are kept as they are.
 */
import { quoteValue, usageError } from "./usage-error.ts";

/** Names that a process can have: no `=`, no white space, nothing that a terminal or a C string would trip over. */
const NAME = /^[^=\s\p{Cc}\p{Cf}\p{Cs}]{1,255}$/u;

export type HostEnvironment = Readonly<Record<string, string | undefined>>;

/**
 * Reads one variable.
 *
 * @param hostEnvironment where `NAME` alone takes its value from
 * @throws SbxError `usage`
 */
export function parseEnvPair(text: string, hostEnvironment: HostEnvironment): [name: string, value: string] {
  const equals = text.indexOf("=");
  const name = equals === -1 ? text : text.slice(0, equals);
  if (!NAME.test(name)) {
    throw usageError(`${quoteValue(text)} does not begin with the name of a variable`, "write it as NAME=value");
  }
  if (equals === -1) {
    const value = Object.hasOwn(hostEnvironment, name) ? hostEnvironment[name] : undefined;
    if (value === undefined) {
      throw usageError(
        `the variable ${name} is not set here, so it has no value to pass on`,
        `write it as ${name}=value`,
      );
    }
    return [name, value];
  }
  const value = text.slice(equals + 1);
  if (value.includes("\0")) {
    throw usageError(`the value of ${name} holds a null byte, which no environment can`);
  }
  return [name, value];
}
