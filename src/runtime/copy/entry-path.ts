/** The path rules of the copy stream. Paths are hostile bytes until they went through here. */
import { SbxError } from "../errors.ts";
import { MAX_PATH_BYTES } from "./copy-records.ts";

/**
 * Checks a path and takes it apart. The components are strings with one character a byte (`latin1`), which keeps
 * names that are not UTF-8 whole.
 *
 * @throws SbxError `copy_refused` for an absolute or empty path, an empty, `.` or `..` component, a NUL, or more than
 * 4,096 bytes
 */
export function splitEntryPath(path: Buffer): string[] {
  if (path.length === 0 || path.length > MAX_PATH_BYTES) {
    throw new SbxError("copy_refused", `the copy holds a path of ${path.length} bytes`);
  }
  const text = path.toString("latin1");
  const components = text.split("/");
  for (const component of components) {
    if (component === "" || component === "." || component === "..") {
      throw new SbxError("copy_refused", `the copy holds a path that may leave its destination: ${showPath(path)}`);
    }
  }
  if (text.includes("\0")) throw new SbxError("copy_refused", `the copy holds a path with a NUL: ${showPath(path)}`);
  return components;
}

/** A path as the file system takes it: a string where that is the same bytes, which is quicker, else a buffer. */
export function fsPath(directory: string, component: string): string | Buffer {
  // Above 0x7f a latin1 character and its UTF-8 form differ.
  if (/^[\x00-\x7f]*$/.test(component)) return `${directory}/${component}`;
  return Buffer.concat([Buffer.from(`${directory}/`, "utf8"), Buffer.from(component, "latin1")]);
}

/** A path for a message: quoted, without control characters, cut when it is very long. */
export function showPath(path: Buffer | string): string {
  const text = typeof path === "string" ? path : path.toString("utf8");
  const short = text.length > 300 ? `${text.slice(0, 300)}…` : text;
  return `'${short.replace(/\p{C}/gu, (character) => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`)}'`;
}

/** Components as they were in the stream, readable. */
export function joinComponents(components: readonly string[]): string {
  return Buffer.from(components.join("/"), "latin1").toString("utf8");
}
