/** Tools for single files of a sandbox. */
import { z } from "zod";
import { tool } from "../tool.ts";
import { ToolError } from "../tool-error.ts";
import { path, sandbox } from "./inputs.ts";

/** Of one read, bytes. */
const MAX_READ_BYTES = 64 * 1024;
/** Of one write, characters. */
const MAX_WRITE_CHARS = 1_000_000;
const MAX_ENTRIES = 1000;

const encoding = () =>
  z.enum(["utf8", "base64"]).default("utf8").describe("How the content is written: text, or base64 for other bytes.");

const FILE_PATH = "The file; a relative path begins at the user's home directory.";

export const FILE_TOOLS = [
  tool({
    name: "read_file",
    title: "Read a file",
    description: `Reads up to ${MAX_READ_BYTES} bytes of a file in a sandbox. next_offset is where to go on.`,
    input: z.strictObject({
      sandbox: sandbox(),
      path: path(FILE_PATH),
      offset: z.int().min(0).default(0).describe("Where to begin, in bytes."),
      max_bytes: z.int().min(1).max(MAX_READ_BYTES).default(MAX_READ_BYTES).describe("How much at most."),
      encoding: encoding(),
    }),
    readOnly: true,
    run: async (input, { fleet, signal }) => {
      const { files } = fleet.find(input.sandbox).sandbox;
      const { offset, max_bytes: maxBytes } = input;
      // One more tells whether there is more.
      const found = Buffer.from(await files.read(input.path, { offset, maxBytes: maxBytes + 1, signal }));
      const isWhole = found.length <= maxBytes;
      const part = found.subarray(0, maxBytes);
      const { content, bytes } =
        input.encoding === "base64"
          ? { content: part.toString("base64"), bytes: part.length }
          : decodeText(part, isWhole, input.path);
      const more = isWhole && bytes === part.length ? {} : { next_offset: offset + bytes };
      return { path: input.path, content, bytes, ...more };
    },
  }),
  tool({
    name: "write_file",
    title: "Write a file",
    description: "Writes a file in a sandbox, and makes the directories above it.",
    input: z.strictObject({
      sandbox: sandbox(),
      path: path(FILE_PATH),
      content: z.string().max(MAX_WRITE_CHARS).describe("What it is to hold."),
      encoding: encoding(),
      append: z.boolean().default(false).describe("Add to what is there, instead of replacing it."),
      executable: z.boolean().default(false).describe("Whether a new file is a program."),
    }),
    destructive: true,
    run: async (input, { fleet, signal }) => {
      const { files } = fleet.find(input.sandbox).sandbox;
      const content = input.encoding === "base64" ? decodeBase64(input.content) : Buffer.from(input.content);
      const directory = input.path.replace(/\/?[^/]*$/, "");
      if (directory !== "") await files.makeDirectory(directory, { signal });
      const existing = input.append ? "append" : "replace";
      await files.write(input.path, content, { existing, signal, ...(input.executable ? { mode: 0o755 } : {}) });
      return { path: input.path, bytes: content.length };
    },
  }),
  tool({
    name: "list_directory",
    title: "List a directory",
    description: `Tells what is in a directory of a sandbox, by name, up to ${MAX_ENTRIES} entries.`,
    input: z.strictObject({
      sandbox: sandbox(),
      path: path("The directory; a relative path begins at the user's home directory.").default("."),
    }),
    readOnly: true,
    run: async (input, { fleet, signal }) => {
      const entries = await fleet.find(input.sandbox).sandbox.files.list(input.path, { signal });
      const left = entries.length - MAX_ENTRIES;
      return {
        path: input.path,
        entries: entries.slice(0, MAX_ENTRIES).map(({ name, kind }) => ({ name, kind })),
        ...(left > 0 ? { omitted_entries: left } : {}),
      };
    },
  }),
];

/** As much of it as is whole characters. @throws ToolError where it is no text */
function decodeText(bytes: Buffer, isWhole: boolean, name: string): { content: string; bytes: number } {
  // A character that the end goes through comes with the next part.
  for (let cut = 0; cut <= (isWhole ? 0 : 3); cut++) {
    const part = bytes.subarray(0, bytes.length - cut);
    try {
      return { content: new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(part), bytes: part.length };
    } catch {
      // Not UTF-8 so far: a shorter part may be.
    }
  }
  throw new ToolError("not_text", `${JSON.stringify(name)} is not UTF-8 text`, 'read it with encoding "base64"');
}

function decodeBase64(text: string): Buffer {
  const bytes = Buffer.from(text, "base64");
  if (bytes.toString("base64").replace(/=+$/, "") === text.replace(/=+$/, "")) return bytes;
  throw new ToolError("bad_base64", "the content is not base64", "send it as base64 in one line, or as utf8");
}
