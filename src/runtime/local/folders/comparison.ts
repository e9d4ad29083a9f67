/** Comparing a copy in a sandbox with the directory that it was made from. */
import type { SandboxRow } from "../../../store/sandbox-store.ts";
import { SbxError } from "../../errors.ts";
import type { Comparison } from "../../folders.ts";
import type { CallOptions, Sandbox } from "../../runtime.ts";

export interface ComparisonOptions extends CallOptions {
  hostPath?: string;
  connect: (options: CallOptions) => Promise<Sandbox>;
}

/** @throws SbxError `folder_refused` */
export async function openComparison(row: SandboxRow, _options: ComparisonOptions): Promise<Comparison> {
  throw new SbxError("unsupported", `the copies of ${row.id} cannot be compared yet`);
}
