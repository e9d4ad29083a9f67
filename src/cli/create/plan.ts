/** What `sbx create` is to do, from what it was given and whether there is a terminal. Pure. */
import type { Lifetime } from "../../runtime/types.ts";
import { usageError } from "../parsers/usage-error.ts";

export interface CreateRequest {
  /** The guest's command, empty if none was given. */
  command: readonly string[];
  /** `--timeout`, `ms`. */
  timeoutMs: number | undefined;
  detach: boolean;
  /** By SSH: the shell, or the command. */
  ssh: boolean;
  json: boolean;
  /** Whether stdin and stdout are terminals. */
  terminal: boolean;
  /** How long a sandbox lives that nobody gave a time, `ms`. */
  defaultTimeoutMs: number;
}

export interface CreatePlan {
  /** An interactive shell, the user's command, or nothing: only the sandbox. */
  run: "shell" | "command" | "ssh" | "nothing";
  lifetime: Lifetime;
}

/**
 * Decides. A sandbox lives with its session unless `--timeout` or `--detach` was given, or there is neither a command
 * nor a terminal for a shell.
 *
 * @throws SbxError `usage`
 */
export function planCreate(request: CreateRequest): CreatePlan {
  const hasCommand = request.command.length > 0;
  const asked = request.detach || request.timeoutMs !== undefined;
  if (request.json && hasCommand && !asked) {
    throw usageError(
      "--json describes the new sandbox on stdout, which belongs to the command here",
      "leave out --json, or create the sandbox first and use sbx exec",
    );
  }
  if (request.ssh) return { run: "ssh", lifetime: sshLifetime(request) };
  const stays = asked || (!hasCommand && (request.json || !request.terminal));
  const lifetime: Lifetime = stays
    ? { kind: "duration", ms: request.timeoutMs ?? request.defaultTimeoutMs }
    : { kind: "session" };
  if (hasCommand) return { run: "command", lifetime };
  return { run: stays ? "nothing" : "shell", lifetime };
}

/** As with a shell: until the session ends, or for the time that was asked for. */
function sshLifetime({ timeoutMs, detach, json }: CreateRequest): Lifetime {
  if (detach || json) {
    throw usageError(
      `${detach ? "--detach" : "--json"} leaves the sandbox to others, and --ssh goes into it`,
      "create it first, then use sbx ssh",
    );
  }
  return timeoutMs === undefined ? { kind: "session" } : { kind: "duration", ms: timeoutMs };
}
