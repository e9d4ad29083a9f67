/** Parameters that several tools take. They come from a model: each is bounded, and one that no tool has is refused. */
import { z } from "zod";

const MAX_NAME_CHARS = 64;
const MAX_PATH_CHARS = 4096;
const MAX_LIST = 1000;
const NUL = /^[^\0]*$/;

export const name = (what: string): z.ZodString =>
  z
    .string()
    .min(1)
    .max(MAX_NAME_CHARS)
    .regex(/^[\w.-]+$/, "letters, digits, dots, dashes and underscores")
    .describe(what);

export const sandbox = (): z.ZodString =>
  z.string().min(1).max(MAX_NAME_CHARS).describe("The sandbox: its id or name.");

export const path = (what: string): z.ZodString => z.string().min(1).max(MAX_PATH_CHARS).regex(NUL).describe(what);

export const cwd = () => path("Directory to run in; the user's home directory if absent.").optional();

export const env = () =>
  z
    .record(
      z
        .string()
        .min(1)
        .max(256)
        .regex(/^[^=\0]+$/),
      z.string().max(32_768).regex(NUL),
    )
    .refine((variables) => Object.keys(variables).length <= MAX_LIST, "too many variables")
    .describe("Variables for this command, on top of the sandbox's own.")
    .optional();

export const argv = () =>
  z
    .array(z.string().max(100_000).regex(NUL))
    .min(1)
    .max(MAX_LIST)
    .describe(
      'The program and its arguments, such as ["ls", "-l"]. No shell reads them: use ["bash", "-c", "…"] for one.',
    );

export const timeout = () =>
  z
    .number()
    .positive()
    .max(86_400)
    .describe("Stop the command after so many seconds. The user's own limit holds as well.")
    .optional();
