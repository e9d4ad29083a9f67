/**
 * Errors of the control plane: `{code, message}` as published, the code in capitals. To a client of sbx's own it adds the
 * code and hint that the same call would have failed with on the server's machine.
 */
import * as z from "zod/mini";
import type { ErrorCode } from "../runtime/errors.ts";

export interface SbxDetail {
  code: ErrorCode;
  hint?: string | undefined;
}

export const errorBody = () =>
  z.object({
    code: z.string().check(z.maxLength(128)),
    message: z.string().check(z.maxLength(16 * 1024)),
    sbx: z.optional(
      z.object({
        /** Of a newer server, perhaps one that this client does not know. */
        code: z.string().check(z.maxLength(64)),
        hint: z.optional(z.string().check(z.maxLength(1024))),
      }),
    ),
  });
export type ErrorBody = z.output<ReturnType<typeof errorBody>>;
