/** Folders of a sandbox in memory, for tests of the command line. */
import type {
  ApplyOptions,
  ApplyReport,
  Change,
  ChangeTexts,
  Comparison,
  CopyInfo,
  FolderApi,
  MountInfo,
} from "../src/runtime/folders.ts";

export class FakeFolders implements FolderApi {
  mountList: MountInfo[] = [];
  copyList: CopyInfo[] = [];
  comparison = new FakeComparison();
  /** Every comparison that was asked for. */
  compared: { ref: string; hostPath: string | undefined }[] = [];

  async mounts(): Promise<MountInfo[]> {
    return this.mountList;
  }

  async copies(): Promise<CopyInfo[]> {
    return this.copyList;
  }

  async compare(ref: string, options: { hostPath?: string } = {}): Promise<Comparison> {
    this.compared.push({ ref, hostPath: options.hostPath });
    return this.comparison;
  }
}

export class FakeComparison implements Comparison {
  hostPath = "/home/user/project";
  guestPath = "/app/project";
  changes: Change[] = [];
  skipped: { path: string; reason: string }[] = [];
  contents = new Map<string, ChangeTexts>();
  report: ApplyReport = { written: 0, removed: 0, skipped: [] };
  applied: Omit<ApplyOptions, "signal" | "onProgress">[] = [];
  disposed = false;

  async texts(change: Change): Promise<ChangeTexts> {
    return this.contents.get(change.path) ?? { before: null, after: null, reason: "it is binary" };
  }

  async apply({ remove, force }: ApplyOptions): Promise<ApplyReport> {
    this.applied.push({ remove, force });
    return this.report;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.disposed = true;
  }
}
