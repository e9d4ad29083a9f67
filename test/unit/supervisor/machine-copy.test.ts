/**
 * Copying a machine, with a process in place of QEMU: what the caller must be able to tell from a failure is whether
 * the machine writes to its new layers already. It throws them away if it does not.
 */
import assert from "node:assert/strict";
import { spawn, type ChildProcess } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { SbxError } from "../../../src/runtime/errors.ts";
import { isUndecided } from "../../../src/runtime/local/disks/supervisor-disks.ts";
import { copyMachine, type CopiedMachine } from "../../../src/supervisor/machine-copy.ts";
import { Standstill } from "../../../src/supervisor/standstill.ts";

const MEMORY_BYTES = 1024 ** 2;
/** As QEMU writes it: header, and no section. */
const STATE = Buffer.from([0x51, 0x45, 0x56, 0x4d, 0, 0, 0, 3, 1, 0]);
/** Maps a file privately, writes a page of it, and waits. */
const MACHINE = `
import mmap, os, sys, time
memory = mmap.mmap(os.open(sys.argv[1], os.O_RDONLY), ${MEMORY_BYTES}, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE)
memory[8192:8197] = b"wrote"
print("ready", flush=True)
time.sleep(600)
`;

let base = "";
let process_: ChildProcess;
let directory = "";
const calls: string[] = [];

before(async () => {
  base = mkdtempSync(path.join(tmpdir(), "sbx-machine-copy-"));
  const memory = path.join(base, "base");
  writeFileSync(memory, "");
  truncateSync(memory, MEMORY_BYTES);
  process_ = spawn("python3", ["-c", MACHINE, memory], { stdio: ["ignore", "pipe", "inherit"] });
  await new Promise((resolve) => process_.stdout?.once("data", resolve));
});
after(() => {
  process_.kill("SIGKILL");
  rmSync(base, { recursive: true, force: true });
});
beforeEach(() => {
  directory = mkdtempSync(path.join(base, "copy-"));
  calls.length = 0;
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

/** @param fails the step that does not work */
function machine(fails: string | null = null): CopiedMachine {
  const step = async (name: string): Promise<void> => {
    calls.push(name);
    if (name === fails) throw new Error(`${name} does not work`);
    return Promise.resolve();
  };
  const execute = async (command: string, args: Record<string, unknown> = {}): Promise<unknown> => {
    await step(command);
    if (command === "xen-save-devices-state") writeFileSync(String(args.filename), STATE);
    return {};
  };
  return {
    ...{ pid: process_.pid ?? 0, qmp: { execute }, standstill: new Standstill({ execute }), volumes: [] },
    link: { detach: async () => step("detach"), attach: async () => step("attach") },
    disks: {
      snapshot: async (_overlays, around) => around(async () => step("take")),
    },
    files: {
      give: async () => {
        const nothing = async (): Promise<void> => Promise.resolve();
        return Promise.resolve([{ path: path.join(directory, "state.raw"), dropWritable: nothing, remove: nothing }]);
      },
    },
    shape: {
      machine: { accelerator: { name: "tcg", cpuModel: "qemu64", tscKhz: null }, memoryBytes: MEMORY_BYTES, cpus: 1 },
      ...{ diskBytes: MEMORY_BYTES, qemuVersion: "1" },
    },
    memories: () => ({}) as ReturnType<CopiedMachine["memories"]>,
  };
}

async function copy(fails: string | null = null): Promise<unknown> {
  const call = {
    ...{ memoryPath: path.join(directory, "memory"), statePath: path.join(directory, "state") },
    ...{ layerPath: path.join(directory, "layer"), volumes: [], durable: true },
  };
  return copyMachine(machine(fails), call, new AbortController().signal);
}

test("a copy has the memory and a state that another QEMU takes, and nothing else is left", async () => {
  await copy();
  assert.deepEqual(calls, ["detach", "stop", "xen-save-devices-state", "take", "cont", "attach"]);
  const memory = readFileSync(path.join(directory, "memory"));
  assert.equal(memory.length, MEMORY_BYTES);
  assert.equal(memory.subarray(8192, 8197).toString(), "wrote");
  assert.ok(readFileSync(path.join(directory, "state")).length > STATE.length);
  assert.deepEqual(readdirSync(directory).sort(), ["memory", "state"]);
});

test("what fails before the disks are switched is told as it is: the new layers are nobody's", async () => {
  for (const step of ["detach", "stop", "xen-save-devices-state", "take"]) {
    await assert.rejects(copy(step), { message: `${step} does not work` });
    assert.equal(calls.includes("cont") || step === "detach" || step === "stop", true, `it goes on after ${step}`);
    rmSync(directory, { recursive: true });
    directory = mkdtempSync(path.join(base, "copy-"));
    calls.length = 0;
  }
});

test("what fails after the disks were switched says so: the new layers are written to, and must stay", async () => {
  await assert.rejects(copy("attach"), (error: unknown) => {
    assert.ok(error instanceof SbxError);
    assert.ok(isUndecided(error), `${error.code}: the caller would throw the layers away`);
    assert.match(error.message, /attach does not work/);
    return true;
  });
});

test("the state's file is complete before the disks are switched: a full disk is noticed in time", async () => {
  writeFileSync(path.join(directory, "state"), "something of this name");
  await assert.rejects(copy(), { code: "EEXIST" });
  assert.equal(calls.includes("take"), false);
  assert.equal(existsSync(path.join(directory, "state.raw")), false);
});
