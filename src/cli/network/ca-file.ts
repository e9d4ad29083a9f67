/** Root certificates of the user's (`--ca-file`), in PEM. They are parsed here, so that a wrong file stops the command. */
import { X509Certificate } from "node:crypto";
import { quoteValue, usageError } from "../parsers/usage-error.ts";
import { readUserFile } from "./user-file.ts";

const MAX_FILE_BYTES = 1024 * 1024;
const BLOCK = /-----BEGIN (?:TRUSTED )?CERTIFICATE-----[^-]*-----END (?:TRUSTED )?CERTIFICATE-----/g;

/** Each certificate of the file by itself. @throws SbxError `usage` */
export function readCaFile(path: string): string[] {
  const text = readUserFile(path, { option: "--ca-file", maxBytes: MAX_FILE_BYTES });
  const blocks = text.match(BLOCK) ?? [];
  if (blocks.length === 0) {
    throw usageError(`--ca-file ${quoteValue(path)} has no certificate in PEM`, `openssl x509 -in ${path} -out ca.pem`);
  }
  return blocks.map((block, index) => {
    try {
      return new X509Certificate(block).toString();
    } catch (cause) {
      const error = usageError(`certificate ${index + 1} of --ca-file ${quoteValue(path)} cannot be read`);
      error.cause = cause;
      throw error;
    }
  });
}
