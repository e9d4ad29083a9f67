/** The environment of a sandbox: what processes that start from now on get. Names and values come from clients. */
import { callTypeError, CallError } from "./call-error.ts";

/** All names and values together; a call that starts a process has to carry them. */
const MAX_BYTES = 512 * 1024;
/** Linux takes no longer string in an environment (MAX_ARG_STRLEN). */
const MAX_VARIABLE_BYTES = 128 * 1024 - 1;

export class Environment {
  readonly #variables: Map<string, string>;
  #bytes = 0;

  constructor(variables: Readonly<Record<string, string>>) {
    this.#variables = new Map();
    for (const [name, value] of Object.entries(variables)) this.set(name, value);
  }

  get(name: string): string | undefined {
    return this.#variables.get(name);
  }

  /** @throws CallError for a name or value that no environment can hold, or when there is too much */
  set(name: string, value: string): void {
    assertVariable(name, value);
    const old = this.#variables.get(name);
    const delta = sizeOf(name, value) - (old === undefined ? 0 : sizeOf(name, old));
    if (this.#bytes + delta > MAX_BYTES) {
      throw new CallError({
        constructorName: "RangeError",
        message: `the environment is limited to ${MAX_BYTES} bytes`,
      });
    }
    this.#bytes += delta;
    this.#variables.set(name, value);
  }

  delete(name: string): void {
    const old = this.#variables.get(name);
    if (old === undefined) return;
    this.#bytes -= sizeOf(name, old);
    this.#variables.delete(name);
  }

  toObject(): Record<string, string> {
    return Object.fromEntries(this.#variables);
  }

  /** What a process gets. @throws CallError for a name or value that no environment can hold */
  forProcess(overlay: Readonly<Record<string, string>>, clear: boolean): Record<string, string> {
    for (const [name, value] of Object.entries(overlay)) assertVariable(name, value);
    return Object.fromEntries([...(clear ? [] : this.#variables), ...Object.entries(overlay)]);
  }
}

function assertVariable(name: string, value: string): void {
  if (name === "" || name.includes("=") || name.includes("\0")) {
    throw callTypeError(`invalid name of an environment variable: ${JSON.stringify(name.slice(0, 256))}`);
  }
  if (value.includes("\0")) throw callTypeError(`the value of ${name.slice(0, 256)} holds a NUL character`);
  if (sizeOf(name, value) > MAX_VARIABLE_BYTES) {
    throw new CallError({
      constructorName: "RangeError",
      message: `the environment variable ${name.slice(0, 256)} is longer than ${MAX_VARIABLE_BYTES} bytes`,
    });
  }
}

function sizeOf(name: string, value: string): number {
  return Buffer.byteLength(name) + Buffer.byteLength(value) + 2;
}
