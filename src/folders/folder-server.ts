/**
 * The server behind a folder in a guest: takes requests of its kernel's FUSE client, answers them from a directory of
 * the host, and lets nothing out of that directory be reached. Everything in a request is hostile.
 */
import type { Folder, Operation } from "./folder.ts";
import { errnoOf, FuseError } from "./fuse-error.ts";
import { FUSE_MAJOR, INIT, OLDEST_MINOR, OP } from "./fuse-protocol.ts";
import { RiskWatch } from "./host-risks.ts";
import { HostTree } from "./host-tree.ts";
import { type Identity, NodeTable } from "./node-table.ts";
import { HandleBudget, OpenFiles } from "./open-files.ts";
import {
  getattr,
  lookup,
  openDirectory,
  read,
  readDirectory,
  readDirectoryPlus,
  readlink,
  release,
  releaseDirectory,
  statfs,
  sync,
  syncDirectory,
} from "./read-operations.ts";
import { errorReply, forgetName, initReply, type Owner, reply } from "./reply.ts";
import type { Request } from "./request.ts";
import {
  create,
  link,
  makeDirectory,
  makeNode,
  makeSymlink,
  openForChange,
  removeDirectory,
  rename,
  renameWithFlags,
  setAttributes,
  unlink,
  write,
} from "./write-operations.ts";
import { type QuotaLimits, WriteQuota } from "./write-quota.ts";

export interface FolderOptions {
  /** An existing directory of the host. */
  hostPath: string;
  readOnly: boolean;
  quota: QuotaLimits;
  /** Who owns everything, as the guest sees it. */
  owner: Owner;
  /** Shared by all folders of a sandbox. */
  budget?: HandleBudget;
  /** Directories that are not served, wherever they are met. */
  forbidden?: ReadonlySet<Identity>;
  /** Bounds of the nodes, for tests. */
  nodes?: { soft: number; hard: number };
}

/** What has become of a folder. */
export interface FolderUse {
  usedBytes: number;
  usedFiles: number;
  /** Written to by the guest, and run or obeyed by programs of the host. */
  risks: { path: string; why: string }[];
  /** How many more there are. */
  moreRisks: number;
}

const WANTED_FLAGS =
  INIT.asyncRead |
  INIT.atomicTruncate |
  INIT.bigWrites |
  INIT.autoInvalidate |
  INIT.readdirplus |
  INIT.readdirplusAuto |
  INIT.parallelDirectories |
  INIT.maxPages |
  INIT.cacheSymlinks;

/**
 * What is not here is answered with ENOSYS, which tells the kernel to do it by itself or not to ask again: flush (a
 * write is on the host when it is answered), extended attributes, locks (they hold within the guest), fallocate,
 * seeking for holes, copying inside the server, polls, interrupts.
 */
const OPERATIONS = new Map<number, Operation>([
  [OP.lookup, lookup],
  [OP.forget, forget],
  [OP.batchForget, forgetMany],
  [OP.getattr, getattr],
  [OP.setattr, setAttributes],
  [OP.readlink, readlink],
  [OP.symlink, makeSymlink],
  [OP.mknod, makeNode],
  [OP.mkdir, makeDirectory],
  [OP.unlink, unlink],
  [OP.rmdir, removeDirectory],
  [OP.rename, rename],
  [OP.rename2, renameWithFlags],
  [OP.link, link],
  [OP.open, openForChange],
  [OP.create, create],
  [OP.read, read],
  [OP.write, write],
  [OP.statfs, statfs],
  [OP.release, release],
  [OP.fsync, sync],
  [OP.fsyncdir, syncDirectory],
  [OP.opendir, openDirectory],
  [OP.readdir, readDirectory],
  [OP.readdirplus, readDirectoryPlus],
  [OP.releasedir, releaseDirectory],
  [OP.init, init],
  [OP.destroy, (_folder, { unique }) => reply(unique, 0)],
  [OP.notifyReply, () => undefined],
]);

/** These are never answered, not even with an error. */
const SILENT = new Set<number>([OP.forget, OP.batchForget, OP.notifyReply]);

export class FolderServer implements Disposable {
  readonly #folder: Folder;

  /** @throws the system's error if the directory cannot be opened */
  constructor(options: FolderOptions) {
    const { hostPath, readOnly, owner, forbidden } = options;
    const tree = new HostTree(hostPath, forbidden);
    const quota = new WriteQuota(options.quota);
    const budget = options.budget ?? new HandleBudget();
    this.#folder = {
      ...{ tree, readOnly, owner, quota, budget },
      nodes: new NodeTable(tree.rootIdentity, options.nodes),
      files: new OpenFiles(budget, quota),
      risks: new RiskWatch(),
    };
  }

  /** Answers one request. Never throws; `undefined` where no answer is due. */
  handle(request: Request): Buffer | undefined | Promise<Buffer> {
    const { opcode } = request;
    try {
      const operation = OPERATIONS.get(opcode);
      if (operation === undefined) throw new FuseError("ENOSYS");
      const answer = operation(this.#folder, request);
      if (!(answer instanceof Promise)) return answer;
      // The bytes of the request are gone by the time of its end.
      const unique = Buffer.from(request.unique);
      return answer.catch((error: unknown) => errorReply(unique, errnoOf(error)));
    } catch (error) {
      return SILENT.has(opcode) ? undefined : errorReply(request.unique, errnoOf(error));
    } finally {
      this.#folder.tree.tidy();
    }
  }

  /** Messages that keep the guest's kernel from holding on to more nodes than there is room for. */
  takeNotices(): Buffer[] {
    return this.#folder.nodes.takeSurplus().map(({ parentId, name }) => forgetName(parentId, name));
  }

  use(): FolderUse {
    const { quota, risks } = this.#folder;
    const { paths, more } = risks.list();
    return { usedBytes: quota.usedBytes, usedFiles: quota.usedFiles, risks: paths, moreRisks: more };
  }

  [Symbol.dispose](): void {
    this.#folder.files[Symbol.dispose]();
    this.#folder.tree[Symbol.dispose]();
  }
}

function init(_folder: Folder, { unique, body }: Request): Buffer {
  const major = body.u32();
  const minor = body.u32();
  body.skip(4);
  const offered = body.u32();
  if (major !== FUSE_MAJOR || minor < OLDEST_MINOR) throw new FuseError("EPROTO");
  return initReply(unique, (offered & WANTED_FLAGS) >>> 0);
}

function forget({ nodes }: Folder, { nodeId, body }: Request): undefined {
  nodes.forget(nodeId, body.u64());
}

function forgetMany({ nodes }: Folder, { body }: Request): undefined {
  const count = body.u32();
  body.skip(4);
  for (let done = 0; done < count; done++) nodes.forget(body.u64(), body.u64());
}
