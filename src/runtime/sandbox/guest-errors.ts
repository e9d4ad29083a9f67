/**
 * Failures that the sandbox reported, as errors for a person. Messages may hold names that guest code chose: whoever
 * prints them escapes them.
 */
import { RemoteError } from "../../protocol/rpc-error.ts";
import { SbxError } from "../errors.ts";
import type { ExecSpec } from "../types.ts";

/**
 * Any failure of a call as an SbxError; what already is one stays.
 *
 * @param what the call in words, as in "copying from the sandbox"
 */
export function guestError(error: unknown, what: string): SbxError {
  if (error instanceof SbxError) return error;
  if (!(error instanceof RemoteError))
    return new SbxError("internal", `${what} failed: ${String(error)}`, { cause: error });
  const { code, hint } = error.detail;
  if (code !== undefined)
    return new SbxError(code, error.message, { cause: error, ...(hint === undefined ? {} : { hint }) });
  if (error.name === "AbortError") return new SbxError("aborted", `${what} was aborted`, { cause: error });
  return new SbxError("guest_error", `${what} failed in the sandbox: ${error.message}`, { cause: error });
}

/**
 * Why a command did not start, with the exit code that a shell would give: 127 not found, 126 not executable.
 *
 * @param id of the sandbox, for the hint
 */
export function execError(error: unknown, spec: ExecSpec, id: string): SbxError {
  const [command] = spec.argv;
  const failure = guestError(error, `starting '${command}'`);
  if (!(error instanceof RemoteError) || error.detail.code !== undefined) return failure;
  const { path } = error.detail;
  if (spec.cwd !== undefined && isCwd(path, spec.cwd)) {
    return new SbxError("guest_error", `the working directory '${spec.cwd}' cannot be used: ${error.message}`, {
      cause: error,
      hint: `make it first: sbx exec ${id} -- mkdir -p ${quote(spec.cwd)}`,
      exitCode: 125,
    });
  }
  switch (error.code) {
    case "ENOENT":
    case "ENOTDIR":
      return new SbxError("command_not_found", `command not found in the sandbox: '${command}'`, {
        cause: error,
        hint: notFoundHint(spec.argv, id),
      });
    case "EACCES":
    case "EPERM":
    case "ENOEXEC":
    case "EISDIR":
      return new SbxError("command_not_executable", `'${command}' cannot be executed: ${error.message}`, {
        cause: error,
        hint: `look at it: sbx exec ${id} -- ls -l ${quote(command)}`,
      });
    default:
      return failure;
  }
}

/** The guest reports the directory joined to the default one, so a relative one is found at the end of the path. */
function isCwd(path: string | undefined, cwd: string): boolean {
  if (path === undefined) return false;
  const wanted = cwd.replace(/\/+$/, "").replace(/^(?:\.\/)+/, "");
  return path === cwd || path === wanted || (!cwd.startsWith("/") && path.endsWith(`/${wanted}`));
}

function notFoundHint(argv: readonly [string, ...string[]], id: string): string {
  const [command] = argv;
  if (argv.length === 1 && /[\s|&;<>$]/.test(command)) {
    return `run a line of shell by a shell: sbx exec ${id} -- bash -c ${quote(command)}`;
  }
  return `see what is there: sbx exec ${id} -- bash -c 'type -a ${command.replaceAll("'", "")}'`;
}

/** Quotes a word so that a hint can be pasted into a shell. */
function quote(word: string): string {
  return /^[\w/.:=@%+-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
