/** One folder: a directory of the host as a guest sees it. What the operations work on. */
import type { RiskWatch } from "./host-risks.ts";
import type { HostTree } from "./host-tree.ts";
import type { NodeTable } from "./node-table.ts";
import type { HandleBudget, OpenFiles } from "./open-files.ts";
import type { Owner } from "./reply.ts";
import type { Request } from "./request.ts";
import type { WriteQuota } from "./write-quota.ts";

export interface Folder {
  readonly tree: HostTree;
  readonly nodes: NodeTable;
  readonly files: OpenFiles;
  readonly budget: HandleBudget;
  readonly quota: WriteQuota;
  /** Everything belongs to the sandbox's user. Whether the host allows something is the host's to say. */
  readonly owner: Owner;
  /** Refuses every change here, whatever the guest's mount says. */
  readonly readOnly: boolean;
  readonly risks: RiskWatch;
}

/** Answers a request; `undefined` for one that has no answer. @throws what errnoOf (fuse-error.ts) makes a number of */
export type Operation = (folder: Folder, request: Request) => Buffer | undefined | Promise<Buffer>;
