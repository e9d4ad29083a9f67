/** Listing a directory of the guest, however many entries it has. Names are the guest's choice. */
import type { AgentDirEntry } from "../../protocol/agent-calls.ts";
import { AgentError } from "../../guest/link.ts";
import type { GuestState } from "./guest-state.ts";
import { readWalkEntries } from "./walk-entries.ts";

/** Beyond this a listing is refused: it is one reply, and one array in memory. */
const MAX_ENTRIES = 500_000;
/** The agent's answers to a listing that does not fit a frame. */
const TOO_LARGE = new Set(["EOVERFLOW", "E2BIG", "EMSGSIZE"]);

/** @throws AgentError such as ENOENT or ENOTDIR */
export async function readDirectory(state: GuestState, path: string, signal: AbortSignal): Promise<AgentDirEntry[]> {
  const params = { path: state.resolvePath(path), user: state.user };
  try {
    return await state.link.call("fs.readDir", params, { signal });
  } catch (error) {
    if (!(error instanceof AgentError) || !TOO_LARGE.has(error.code)) throw error;
  }
  return readByWalk(state, params.path, signal);
}

async function readByWalk(state: GuestState, path: string, signal: AbortSignal): Promise<AgentDirEntry[]> {
  // A walk shows a symbolic link as what it is, a listing goes through it.
  const root = await state.link.call("fs.realPath", { path, user: state.user }, { signal });
  const entries: AgentDirEntry[] = [];
  for await (const { name, type, depth } of readWalkEntries(state, { path: root, maxDepth: 1 }, signal)) {
    if (depth === 0) continue;
    if (entries.length === MAX_ENTRIES) throw new AgentError("EOVERFLOW", "too many entries");
    entries.push({ name, type });
  }
  return entries;
}
