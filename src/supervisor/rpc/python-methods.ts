/** Where the SDK for Python wants another answer: the entries of a walk or a glob as one list. */
import type { WalkEntry } from "../../protocol/rpc-methods-fs.ts";
import type { RpcParams } from "../../protocol/rpc-methods.ts";
import { PYTHON_MESSAGE_BYTES, tooLong } from "./dialect.ts";
import type { Call } from "./session.ts";
import { globEntries, walkEntries } from "./walk-methods.ts";

/** Of an entry, without its path and name: the names of its fields alone. */
const ENTRY_CHARACTERS = 60;

export const PYTHON_HANDLERS = {
  walk: async (call: Call, params: RpcParams<"walk">) => collect(walkEntries(call, params, call.signal)),
  expandGlob: async (call: Call, params: RpcParams<"expandGlob">) =>
    collect(await globEntries(call, params, call.signal)),
};

async function collect(entries: AsyncIterable<WalkEntry> | Iterable<WalkEntry>): Promise<WalkEntry[]> {
  const list: WalkEntry[] = [];
  let characters = 0;
  for await (const { path, name, isFile, isDirectory, isSymlink } of entries) {
    list.push({ path, name, isFile, isDirectory, isSymlink });
    // What is certain not to fit is not gathered.
    characters += ENTRY_CHARACTERS + path.length + name.length;
    if (characters > PYTHON_MESSAGE_BYTES) throw tooLong();
  }
  return list;
}
