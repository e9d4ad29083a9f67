/**
 * A machine that was copied while it ran, as files: its memory, the state of its devices, and a sealed layer of its root
 * disk. What else a copy needs to know is in a record, which a checkpoint keeps beside the files. The record is this
 * user's own, and read with care all the same: it may be old, or come from a damaged disk.
 */
import { createHash } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import path from "node:path";
import { z } from "zod";
import type { CopyAnswer } from "../../../protocol/machine-calls.ts";
import { networkPast, type NetworkPast } from "../../../protocol/network-past.ts";
import { resolvedSpecSchema } from "../../../protocol/sandbox-record.ts";
import type { SandboxRow } from "../../../store/sandbox-store.ts";
import { qemuArgs } from "../../../vm/qemu-args.ts";
import { SbxError } from "../../errors.ts";

const SCHEMA = 1;
/** Names that the guest knows are most of one. */
const MAX_RECORD_BYTES = 32 * 1024 ** 2;
const MAX_STATE_BYTES = 64 * 1024 ** 2;

/** By which a change of a file is noticed. Not its inode: a home that was moved to another disk is whole. */
const stampSchema = z.object({ size: z.number(), mtimeNs: z.string() });

const hostSchema = z.object({
  host: z.string(),
  port: z.number().nullable(),
  scheme: z.enum(["http", "https"]),
});

const ruleSchema = z.object({
  id: z.string(),
  verdict: z.enum(["allow", "deny"]),
  host: z.string(),
  ports: z.array(z.object({ first: z.number(), last: z.number() })).nullable(),
  methods: z.array(z.string()).nullable(),
  paths: z.array(z.string()).nullable(),
  source: z.looseObject({ kind: z.string() }),
});

const egressSchema = z.object({
  policy: z.object({
    mode: z.enum(["none", "balanced", "open"]),
    rules: z.array(ruleSchema),
    expressions: z.array(z.object({ id: z.string(), text: z.string(), source: z.looseObject({ kind: z.string() }) })),
  }),
  secrets: z.array(z.object({ name: z.string(), hosts: z.array(hostSchema) })),
  onLeak: z.enum(["block", "report", "pass"]),
  inspect: z.boolean(),
  hookPath: z.string().nullable(),
  resolve: z.array(z.object({ host: z.string(), port: z.number(), address: z.string() })),
  awaitsSettings: z.boolean(),
});

const pastSchema = z.custom<NetworkPast>((value) => networkPast().safeParse(value).success);

export const savedMachineSchema = z.object({
  schema: z.literal(SCHEMA),
  source: z.object({ id: z.string(), name: z.string().nullable() }),
  savedAt: z.number(),
  spec: resolvedSpecSchema,
  qemuVersion: z.string(),
  /** Of QEMU's command line: see {@link shapeOf}. */
  shape: z.string(),
  machine: z.object({
    accelerator: z.object({ name: z.enum(["kvm", "tcg"]), cpuModel: z.string(), tscKhz: z.number().nullable() }),
    memoryBytes: z.number(),
    cpus: z.number(),
  }),
  diskBytes: z.number(),
  egress: egressSchema,
  extraRootsPem: z.array(z.string()),
  past: pastSchema,
  environment: z.record(z.string(), z.string()),
  stateSha256: z.string(),
  files: z.record(z.string(), stampSchema),
});

export type SavedMachine = z.infer<typeof savedMachineSchema>;

export interface SavedFiles {
  directory: string;
  memoryPath: string;
  statePath: string;
  recordPath: string;
}

export function savedFiles(directory: string): SavedFiles {
  return {
    directory,
    memoryPath: path.join(directory, "memory"),
    statePath: path.join(directory, "state"),
    recordPath: path.join(directory, "machine.json"),
  };
}

/** Describes what was just saved. */
export async function describeSaved(source: SandboxRow, answer: CopyAnswer, files: SavedFiles): Promise<SavedMachine> {
  const { machine, diskBytes, qemuVersion } = answer.machine;
  const { egress, extraRootsPem, past, environment } = answer.memories;
  return savedMachineSchema.parse({
    schema: SCHEMA,
    source: { id: source.id, name: source.name },
    savedAt: Date.now(),
    spec: { ...source.spec, templateKey: "", session: false },
    ...{ qemuVersion, shape: shapeOf(machine), machine, diskBytes },
    ...{ egress, extraRootsPem, past, environment },
    stateSha256: await stateHash(files),
    files: await stampFiles(files),
  });
}

/**
 * Reads the record of a checkpoint, and checks that its files are what was saved.
 *
 * @throws SbxError `checkpoint_broken` naming what is wrong with which file
 */
export async function openSaved(files: SavedFiles, name: string): Promise<SavedMachine> {
  const { recordPath } = files;
  let saved: SavedMachine;
  try {
    if ((await stat(recordPath)).size > MAX_RECORD_BYTES) throw new Error("it is too long");
    saved = savedMachineSchema.parse(JSON.parse(await readFile(recordPath, "utf8")));
  } catch (cause) {
    throw broken(name, `${recordPath} cannot be read`, cause);
  }
  const [fault] = await savedFaults(files, saved);
  if (fault !== undefined) throw broken(name, fault);
  return saved;
}

/** What is wrong with the files, in words. */
export async function savedFaults(files: SavedFiles, saved: SavedMachine): Promise<string[]> {
  let now: SavedMachine["files"];
  try {
    now = await stampFiles(files);
  } catch (error) {
    return [`a file in ${files.directory} is missing (${(error as NodeJS.ErrnoException).code ?? String(error)})`];
  }
  const changed = Object.entries(now).filter(([file, stamp]) => !isSame(stamp, saved.files[file]));
  const faults = changed.map(([file]) => `${path.join(files.directory, file)} was changed after it was saved`);
  if (faults.length === 0 && (await stateHash(files)) !== saved.stateSha256) {
    faults.push(`the content of ${files.statePath} is not what was saved`);
  }
  return faults;
}

/**
 * Checks that this sbx and QEMU can restore the machine.
 *
 * @throws SbxError `checkpoint_broken` saying what has changed
 */
export function checkShape(saved: SavedMachine, qemu: { version: string }, name: string): void {
  if (saved.qemuVersion !== qemu.version) {
    throw broken(name, `it was saved by QEMU ${saved.qemuVersion}, and this is QEMU ${qemu.version}`);
  }
  if (saved.shape !== shapeOf(saved.machine)) {
    throw broken(name, "it was saved by another version of sbx, whose machines differ from this one's");
  }
}

/** A machine's state fits exactly the QEMU that it was saved by, and the devices that it had. */
function shapeOf(machine: SavedMachine["machine"]): string {
  const words = qemuArgs({
    ...{ name: "machine", machine, mode: { kind: "restore" }, memoryPath: "memory", readOnlyTemplate: false },
    ...{ disk: [{ path: "disk", format: "raw" }], diskWrites: "discarded", network: true },
  });
  return createHash("sha256").update(JSON.stringify(words)).digest("hex").slice(0, 32);
}

async function stateHash({ statePath }: SavedFiles): Promise<string> {
  if ((await stat(statePath)).size > MAX_STATE_BYTES) return "too long";
  return createHash("sha256")
    .update(await readFile(statePath))
    .digest("hex");
}

async function stampFiles({ memoryPath, statePath }: SavedFiles): Promise<SavedMachine["files"]> {
  const stamps = await Promise.all(
    [memoryPath, statePath].map(async (file) => {
      const { size, mtimeNs } = await stat(file, { bigint: true });
      return [path.basename(file), { size: Number(size), mtimeNs: String(mtimeNs) }] as const;
    }),
  );
  return Object.fromEntries(stamps);
}

function isSame(a: z.infer<typeof stampSchema>, b: z.infer<typeof stampSchema> | undefined): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

function broken(name: string, why: string, cause?: unknown): SbxError {
  return new SbxError("checkpoint_broken", `checkpoint ${name} cannot be used: ${why}`, {
    cause,
    hint: `sbx checkpoint remove ${name}`,
  });
}
