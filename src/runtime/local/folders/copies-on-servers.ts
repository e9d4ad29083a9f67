/**
 * What sandboxes on servers were given copies of: written down on this machine, so that `sbx sync` can bring changes back.
 * Each server has a place of its own, so that no server's sandbox passes for another one's. Ids are the servers'.
 */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, rmSync, statSync } from "node:fs";
import path from "node:path";
import type { CopiedSandbox, CopyRecords } from "../../client-machine.ts";
import { SbxError } from "../../errors.ts";
import type { CopyInfo } from "../../folders.ts";
import type { StatePaths } from "../paths.ts";
import { readManifests } from "./copy-manifest.ts";

/** Form of the ids (deno-sandbox-protocol, 1.3): a name of a directory, and of no other one. */
const SANDBOX_ID = /^sbx_[a-z]{3}_[0-9a-hjkmnp-z]{20}$/;
/** No sandbox on a server lives that long, `ms`. */
const KEPT_MS = 31 * 86_400_000;

/** @throws SbxError `server_failed` for an id that is none */
export function copiesDirectory(
  { statePath }: StatePaths,
  { server, id }: Pick<CopiedSandbox, "server" | "id">,
): string {
  if (!SANDBOX_ID.test(id)) {
    throw new SbxError("server_failed", `${server} calls a sandbox by what is no id`, { hint: "sbx context show" });
  }
  return path.join(statePath, "servers", createHash("sha256").update(server).digest("hex").slice(0, 16), id);
}

/** The place for a new sandbox; those of long ago go. */
export function makeCopiesDirectory(paths: StatePaths, sandbox: Pick<CopiedSandbox, "server" | "id">): string {
  const directory = copiesDirectory(paths, sandbox);
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const beside = path.dirname(directory);
  for (const name of readdirSync(beside)) {
    const other = path.join(beside, name);
    const { mtimeMs } = statSync(other, { throwIfNoEntry: false }) ?? { mtimeMs: Infinity };
    if (Date.now() - mtimeMs > KEPT_MS) rmSync(other, { recursive: true, force: true });
  }
  return directory;
}

export function copyRecords(paths: StatePaths): CopyRecords {
  return {
    async list(sandbox): Promise<CopyInfo[]> {
      const manifests = readManifests(copiesDirectory(paths, sandbox));
      return [...manifests.values()].map(({ entries, ...facts }) => ({ ...facts, entries: entries.size }));
    },
    async compare(sandbox, options) {
      const directory = copiesDirectory(paths, sandbox);
      // What is looked at is fetched to there.
      if (!existsSync(directory)) mkdirSync(directory, { recursive: true, mode: 0o700 });
      const { openComparison } = await import("./comparison.ts");
      return openComparison({ ...sandbox, directory }, options);
    },
  };
}
