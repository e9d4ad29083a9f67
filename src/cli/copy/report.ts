/** What was copied, in words. Names of files may be a guest's choice; they are escaped where they are printed. */
import type { CopyReport } from "../../runtime/runtime.ts";
import { humanSize } from "../output/human.ts";

export const EMPTY_REPORT: CopyReport = { files: 0, bytes: 0, skipped: [] };

export function addReports(a: CopyReport, b: CopyReport): CopyReport {
  return { files: a.files + b.files, bytes: a.bytes + b.bytes, skipped: [...a.skipped, ...b.skipped] };
}

/** Such as `copied 12 files, 3.4 MiB`. */
export function describeReport(report: CopyReport): string {
  return `copied ${report.files} ${report.files === 1 ? "file" : "files"}, ${humanSize(report.bytes)}`;
}
