/** Where QEMU has its guest's memory: found by what the kernel says of QEMU's mappings. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { findMachineMemory, findMapping } from "../../../src/vm/machine-memory.ts";

const MiB = 1024n ** 2n;
const OTHERS = [
  "55d0c8a00000-55d0c8b00000 r-xp 00000000 fe:00 1234                       /usr/bin/qemu-system-x86_64",
  "7f0000000000-7f0004000000 rw-p 00000000 00:00 0 ",
  "7f1000000000-7f1004000000 rw-s 00000000 fe:00 77                         /vm/shared",
];

test("a private mapping of a file, of the memory's size, is the guest's memory", () => {
  const line = "7f2000000000-7f2004000000 rw-p 00000000 fe:00 99                         /vm/ram (deleted)";
  const found = findMapping([...OTHERS, line, ""].join("\n"), 64n * MiB);
  assert.deepEqual(found, { begin: 0x7f2000000000n, end: 0x7f2004000000n, inode: "99" });
});

test("one that the kernel tells in several lines is put together, and a gap or another file ends it", () => {
  const parts = [
    "7f2000000000-7f2001000000 rw-p 00000000 fe:00 99                         /vm/ram",
    "7f2001000000-7f2003000000 rw-p 01000000 fe:00 99                         /vm/ram",
    "7f2003000000-7f2004000000 rw-p 03000000 fe:00 99                         /vm/ram",
  ];
  const whole = findMapping([...OTHERS, ...parts].join("\n"), 64n * MiB);
  assert.deepEqual(whole, { begin: 0x7f2000000000n, end: 0x7f2004000000n, inode: "99" });
  assert.equal(findMapping([parts[0], parts[2]].join("\n"), 64n * MiB), undefined);
  const other = parts.map((part, at) => (at === 1 ? part.replace(" 99 ", " 98 ") : part));
  assert.equal(findMapping(other.join("\n"), 64n * MiB), undefined);
  assert.equal(findMapping(parts.slice(1).join("\n"), 48n * MiB), undefined, "it does not begin at its beginning");
});

test("a process without such a mapping is no machine", () => {
  assert.throws(() => findMachineMemory(process.pid, 3 * 1024 ** 3 + 4096), { code: "vm_memory_unreadable" });
});
