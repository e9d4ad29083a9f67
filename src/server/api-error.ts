/** Failures as the API tells them: a status, a stable code and a sentence. Clients match on the code. */
import type { SbxDetail } from "../protocol/control-errors.ts";
import { SbxError, type ErrorCode } from "../runtime/errors.ts";

/** Every code that the API answers with, and its HTTP status. The codes in capitals are those of the published protocol. */
export const API_CODES = {
  INVALID_REQUEST: 400,
  INVALID_CONFIG: 400,
  MISSING_ORG: 400,
  INVALID_TOKEN: 401,
  TOKEN_EXPIRED: 401,
  ORG_FORBIDDEN: 403,
  INSUFFICIENT_SCOPE: 403,
  NOT_FOUND: 404,
  SANDBOX_NOT_FOUND: 404,
  VOLUME_NOT_FOUND: 404,
  SNAPSHOT_NOT_FOUND: 404,
  APP_NOT_FOUND: 404,
  LAYER_NOT_FOUND: 404,
  REVISION_NOT_FOUND: 404,
  METHOD_NOT_ALLOWED: 405,
  SLUG_ALREADY_IN_USE: 409,
  SANDBOX_NOT_RUNNING: 409,
  VOLUME_IN_USE: 409,
  SNAPSHOT_IN_USE: 409,
  LAYER_IN_USE: 409,
  REVISION_IN_USE: 409,
  /** What sbx can do, and not with this one as it is now: its own code says why (control calls). */
  REFUSED: 409,
  BODY_TOO_LARGE: 413,
  UPGRADE_REQUIRED: 426,
  TOO_MANY_SANDBOXES: 429,
  QUOTA_EXCEEDED: 429,
  RATE_LIMITED: 429,
  HEADERS_TOO_LARGE: 431,
  /** In the log alone: nobody is there to read it. */
  CLIENT_GONE: 499,
  INTERNAL: 500,
  /** What this server does not do, or not for clients. */
  UNSUPPORTED: 501,
  START_FAILED: 500,
  INSUFFICIENT_RESOURCES: 503,
  SHUTTING_DOWN: 503,
} as const;

export type ApiCode = keyof typeof API_CODES;

export interface ApiErrorOptions {
  cause?: unknown;
  retryAfterSeconds?: number;
  allow?: readonly string[];
  detail?: SbxDetail;
}

export class ApiError extends Error {
  readonly code: ApiCode;
  /** For `Retry-After`, seconds. */
  readonly retryAfterSeconds: number | undefined;
  /** For `Allow`: the methods that there are. */
  readonly allow: readonly string[] | undefined;
  /** What a client of sbx's own is told beside it. */
  readonly detail: SbxDetail | undefined;

  constructor(code: ApiCode, message: string, options: ApiErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "ApiError";
    this.code = code;
    this.retryAfterSeconds = options.retryAfterSeconds;
    this.allow = options.allow;
    this.detail = options.detail;
  }

  get status(): number {
    return API_CODES[this.code];
  }
}

/** What a runtime's failures mean to a client. Those that are not here are the server's own affair. */
const MEANINGS: Partial<Record<ErrorCode, ApiCode>> = {
  usage: "INVALID_REQUEST",
  sandbox_not_found: "SANDBOX_NOT_FOUND",
  sandbox_ambiguous: "SANDBOX_NOT_FOUND",
  sandbox_stopped: "SANDBOX_NOT_FOUND",
  sandbox_paused: "SANDBOX_NOT_RUNNING",
  supervisor_lost: "SANDBOX_NOT_FOUND",
  name_in_use: "SLUG_ALREADY_IN_USE",
  volume_not_found: "VOLUME_NOT_FOUND",
  volume_in_use: "VOLUME_IN_USE",
  snapshot_not_found: "SNAPSHOT_NOT_FOUND",
  snapshot_in_use: "SNAPSHOT_IN_USE",
  app_not_found: "APP_NOT_FOUND",
  layer_not_found: "LAYER_NOT_FOUND",
  layer_in_use: "LAYER_IN_USE",
  revision_not_found: "REVISION_NOT_FOUND",
  revision_in_use: "REVISION_IN_USE",
  checkpoint_not_found: "NOT_FOUND",
  image_not_found: "NOT_FOUND",
  exposure_not_found: "NOT_FOUND",
  copy_unsupported: "REFUSED",
  disk_file_invalid: "REFUSED",
  folder_refused: "REFUSED",
  guest_error: "REFUSED",
  port_in_use: "REFUSED",
  secret_not_found: "REFUSED",
  unsupported: "UNSUPPORTED",
};

/** Known, but their messages tell of this machine: files, programs, what it has. */
const PLAIN: Partial<Record<ErrorCode, readonly [ApiCode, string]>> = {
  insufficient_resources: ["INSUFFICIENT_RESOURCES", "the server has no room for that at the moment"],
  disk_full: ["INSUFFICIENT_RESOURCES", "the server's disk is full"],
  vm_start_failed: ["START_FAILED", "the sandbox did not start"],
  vm_start_timeout: ["START_FAILED", "the sandbox did not start in time"],
  checkpoint_broken: ["REFUSED", "the checkpoint is damaged; the server's operator can see how"],
  snapshot_broken: ["REFUSED", "the snapshot is damaged; the server's operator can see how"],
  volume_broken: ["REFUSED", "the volume is damaged; the server's operator can see how"],
  agent_protocol: ["START_FAILED", "the sandbox did not start"],
};

/** Never throws. What is unknown is said in one sentence; the log has the rest, under the request's trace id. */
export function toApiError(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  if (error instanceof SbxError) {
    const { code, hint } = error;
    const meaning = MEANINGS[code];
    if (meaning !== undefined) return new ApiError(meaning, error.message, { cause: error, detail: { code, hint } });
    const plain = PLAIN[code];
    if (plain !== undefined) return new ApiError(plain[0], plain[1], { cause: error, detail: { code } });
  }
  return new ApiError("INTERNAL", "the server failed; its log has more under this request's trace id", {
    cause: error,
  });
}
