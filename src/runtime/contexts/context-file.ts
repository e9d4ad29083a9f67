/**
 * The contexts that a user has logged in to, with their tokens: `contexts.json` beside the configuration, readable by
 * its owner alone. What others could have read or written is refused, and so is what does not parse: a command whose
 * place is not certain must not run elsewhere.
 */
import { closeSync, fstatSync, mkdirSync, openSync, readFileSync } from "node:fs";
import path from "node:path";
import { z } from "zod";
import { writeDurably } from "../../host/durable-file.ts";
import { SbxError } from "../errors.ts";
import { CONTEXT_NAME, parseEndpoint, parseOrganisationName, parseToken } from "./endpoint.ts";
import { LOCAL_CONTEXT } from "./target.ts";

const VERSION = 1;
const MAX_CONTEXTS = 100;
const MAX_FILE_BYTES = 1024 ** 2;
/** Rights of group and others. */
const FOREIGN_RIGHTS = 0o077;

/** Text that one of this package's parsers takes. */
function checked(parse: (text: string) => unknown) {
  return z.string().refine((text) => {
    try {
      parse(text);
      return true;
    } catch {
      return false;
    }
  });
}

const endpoint = checked((text) => parseEndpoint(text, { insecure: true }));

const contextSchema = z.strictObject({
  endpoint,
  sandboxEndpoint: endpoint.nullable(),
  organisation: checked(parseOrganisationName).nullable(),
  /** `null` after a logout. */
  token: checked(parseToken).nullable(),
  /** Epoch `ms` of the login. */
  since: z.number(),
});

const fileSchema = z.strictObject({
  version: z.literal(VERSION),
  current: z.string(),
  contexts: z
    .record(z.string().regex(CONTEXT_NAME), contextSchema)
    .refine((contexts) => Object.keys(contexts).length <= MAX_CONTEXTS && !(LOCAL_CONTEXT in contexts)),
});

export type StoredContext = z.infer<typeof contextSchema>;

export interface Contexts {
  /** Name of the one that commands use: of `contexts`, or `local`. */
  current: string;
  contexts: Record<string, StoredContext>;
}

/** @throws SbxError `config_invalid` for a file that others may read, that is damaged, or of a later version */
export function readContexts(filePath: string): Contexts {
  const text = readPrivate(filePath);
  if (text === undefined) return { current: LOCAL_CONTEXT, contexts: {} };
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // V8's message would quote what is in the file.
    throw damaged(filePath, "it is not JSON");
  }
  const version: unknown = typeof value === "object" && value !== null ? Reflect.get(value, "version") : undefined;
  if (typeof version === "number" && version > VERSION) {
    throw new SbxError("config_invalid", `${filePath} was written by a later version of sbx`, { hint: "update sbx" });
  }
  const parsed = fileSchema.safeParse(value);
  // The issues of zod name places, not values.
  if (!parsed.success) throw damaged(filePath, z.prettifyError(parsed.error));
  const { current, contexts } = parsed.data;
  if (current !== LOCAL_CONTEXT && !Object.hasOwn(contexts, current)) {
    throw damaged(filePath, `the current context ${JSON.stringify(current.slice(0, 80))} is not among them`);
  }
  return { current, contexts: { ...contexts } };
}

/** Replaces the file in one step. @throws SbxError `file_error` */
export async function writeContexts(filePath: string, { current, contexts }: Contexts): Promise<void> {
  if (Object.keys(contexts).length > MAX_CONTEXTS) {
    throw new SbxError("usage", `there are more than ${MAX_CONTEXTS} contexts`, { hint: "sbx context remove NAME" });
  }
  try {
    mkdirSync(path.dirname(filePath), { recursive: true, mode: 0o700 });
    await writeDurably(filePath, `${JSON.stringify({ version: VERSION, current, contexts }, undefined, 1)}\n`, 0o600);
  } catch (cause) {
    throw new SbxError("file_error", `${filePath} cannot be written`, {
      cause,
      hint: "set XDG_CONFIG_HOME to a directory that you can write to",
    });
  }
}

/** What was checked is what is read: both are of one descriptor. */
function readPrivate(filePath: string): string | undefined {
  let file: number;
  try {
    file = openSync(filePath, "r");
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    throw new SbxError("config_invalid", `${filePath} cannot be read`, { cause, hint: `ls -l ${filePath}` });
  }
  try {
    const { mode, uid, size } = fstatSync(file);
    const own = process.getuid?.();
    if (own !== undefined && uid !== own) {
      throw new SbxError("config_invalid", `${filePath} holds tokens, and belongs to another user`, {
        hint: `remove it and log in again: rm ${filePath}`,
      });
    }
    if ((mode & FOREIGN_RIGHTS) !== 0) {
      throw new SbxError("config_invalid", `${filePath} holds tokens, and other users may read or change it`, {
        hint: `chmod 600 ${filePath}, and revoke the tokens if others have read them`,
      });
    }
    if (size > MAX_FILE_BYTES) throw damaged(filePath, `it has more than ${MAX_FILE_BYTES} bytes`);
    return readFileSync(file, "utf8");
  } finally {
    closeSync(file);
  }
}

function damaged(filePath: string, why: string): SbxError {
  return new SbxError("config_invalid", `the contexts in ${filePath} cannot be read`, {
    cause: new Error(why),
    hint: `log in again after: mv ${filePath} ${filePath}.damaged`,
  });
}
