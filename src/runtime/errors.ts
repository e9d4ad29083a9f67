/**
 * The one error class of sbx, and the list of its codes.
 *
 * Every failure a user can meet is an SbxError: `message` says what failed and with which value, `cause` why, and
 * `hint` is one command to run next. Codes are stable; scripts may match on them.
 */

/** Exit statuses of sbx itself (docs/exit-codes in design terms: a guest's own status passes through untouched). */
export const EXIT = {
  failure: 1,
  usage: 2,
  authentication: 4,
  /** sbx failed before the guest's command ran. */
  beforeCommand: 125,
  notExecutable: 126,
  notFound: 127,
} as const;

/** Stable codes, each with the exit status that it means outside of `run` and `exec`. */
export const ERROR_EXITS = {
  usage: EXIT.usage,
  config_invalid: EXIT.usage,
  not_authenticated: EXIT.authentication,
  context_not_found: EXIT.usage,
  sandbox_not_found: EXIT.failure,
  sandbox_ambiguous: EXIT.usage,
  sandbox_stopped: EXIT.failure,
  sandbox_paused: EXIT.failure,
  checkpoint_not_found: EXIT.failure,
  checkpoint_broken: EXIT.failure,
  copy_unsupported: EXIT.failure,
  name_in_use: EXIT.failure,
  image_not_found: EXIT.failure,
  image_in_use: EXIT.failure,
  image_broken: EXIT.failure,
  image_build_failed: EXIT.failure,
  template_broken: EXIT.failure,
  volume_not_found: EXIT.failure,
  volume_in_use: EXIT.failure,
  volume_broken: EXIT.failure,
  snapshot_not_found: EXIT.failure,
  snapshot_in_use: EXIT.failure,
  snapshot_broken: EXIT.failure,
  disk_file_invalid: EXIT.failure,
  app_not_found: EXIT.failure,
  layer_not_found: EXIT.failure,
  layer_in_use: EXIT.failure,
  revision_not_found: EXIT.failure,
  revision_in_use: EXIT.failure,
  qemu_missing: EXIT.failure,
  vm_start_failed: EXIT.failure,
  vm_start_timeout: EXIT.failure,
  vm_memory_unreadable: EXIT.failure,
  insufficient_resources: EXIT.failure,
  disk_full: EXIT.failure,
  state_newer: EXIT.failure,
  state_broken: EXIT.failure,
  supervisor_lost: EXIT.failure,
  agent_protocol: EXIT.failure,
  guest_error: EXIT.failure,
  command_not_found: EXIT.notFound,
  command_not_executable: EXIT.notExecutable,
  copy_refused: EXIT.failure,
  folder_failed: EXIT.failure,
  folder_refused: EXIT.usage,
  sync_conflict: EXIT.failure,
  file_error: EXIT.failure,
  secret_not_found: EXIT.failure,
  secret_unreadable: EXIT.failure,
  secrets_broken: EXIT.failure,
  connection_closed: EXIT.failure,
  /** Of a control plane: it is not there, or does not answer. */
  server_unreachable: EXIT.failure,
  /** It says that it failed, or answers what makes no sense. */
  server_failed: EXIT.failure,
  quota_exceeded: EXIT.failure,
  aborted: 130,
  timeout: EXIT.failure,
  port_in_use: EXIT.failure,
  exposure_not_found: EXIT.failure,
  nothing_listens: EXIT.failure,
  unsupported: EXIT.failure,
  internal: EXIT.failure,
} as const;

export type ErrorCode = keyof typeof ERROR_EXITS;

export interface SbxErrorOptions {
  cause?: unknown;
  /** One command, or one short sentence, that gets the user further. */
  hint?: string;
  /** Overrides the exit status that the code means. */
  exitCode?: number;
}

export class SbxError extends Error {
  readonly code: ErrorCode;
  readonly hint: string | undefined;
  readonly exitCode: number;
  /** oclif's error handler reads `oclif.exit`, its Command.catch reads `exitCode`: both must agree. */
  readonly oclif: { exit: number };

  constructor(code: ErrorCode, message: string, options: SbxErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "SbxError";
    this.code = code;
    this.hint = options.hint;
    this.exitCode = options.exitCode ?? ERROR_EXITS[code];
    this.oclif = { exit: this.exitCode };
  }
}

/** An error as it crosses a process boundary: failure records, RPC replies, `--json`. */
export interface ErrorRecord {
  code: ErrorCode;
  message: string;
  hint?: string;
  /** Messages of the causes, outermost first. */
  causes?: string[];
}

/** Turns anything thrown into a record. Never throws. */
export function toErrorRecord(error: unknown): ErrorRecord {
  const causes: string[] = [];
  let cause: unknown = error instanceof Error ? error.cause : undefined;
  while (cause instanceof Error && causes.length < 8) {
    causes.push(cause.message);
    cause = cause.cause;
  }
  const record: ErrorRecord =
    error instanceof SbxError
      ? { code: error.code, message: error.message, ...(error.hint === undefined ? {} : { hint: error.hint }) }
      : { code: "internal", message: error instanceof Error ? error.message : String(error) };
  return causes.length > 0 ? { ...record, causes } : record;
}

/** The inverse of {@link toErrorRecord}. */
export function fromErrorRecord(record: ErrorRecord): SbxError {
  let cause: Error | undefined;
  for (const message of [...(record.causes ?? [])].reverse()) {
    cause = new Error(message, cause === undefined ? undefined : { cause });
  }
  return new SbxError(record.code, record.message, {
    ...(record.hint === undefined ? {} : { hint: record.hint }),
    ...(cause === undefined ? {} : { cause }),
  });
}
