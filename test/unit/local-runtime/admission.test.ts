/** What is refused, in which words: each with what was asked for and what there is. */
import { test } from "node:test";
import assert from "node:assert/strict";
import { SbxError, type ErrorCode } from "../../../src/runtime/errors.ts";
import { judge, type Demand, type HostFacts } from "../../../src/runtime/local/admission.ts";

const GiB = 1024 ** 3;
const DEMAND: Demand = { memoryBytes: GiB, cpus: 2, diskBytes: 10 * GiB };
const HOST: HostFacts = { cores: 2, availableMemoryBytes: 8 * GiB, freeDiskBytes: 100 * GiB };

test("what fits is admitted, up to the last byte", () => {
  judge(DEMAND, HOST, "/state");
  judge({ ...DEMAND, memoryBytes: 8 * GiB - 256 * 1024 ** 2, cpus: 8 }, HOST, "/state");
  judge(DEMAND, { ...HOST, freeDiskBytes: 256 * 1024 ** 2 }, "/state");
  judge(DEMAND, { ...HOST, availableMemoryBytes: null }, "/state");
});

const REFUSALS: [Partial<Demand>, Partial<HostFacts>, ErrorCode, string][] = [
  [{ memoryBytes: 1024 ** 2 }, {}, "usage", "memory must be from 256 MiB to 1048576 MiB, not 1 MiB"],
  [{ memoryBytes: GiB + 1 }, {}, "usage", "memory must be whole MiB, not 1073741825 bytes"],
  [{ diskBytes: GiB }, {}, "usage", "disk must be from 3072 MiB to 67108864 MiB, not 1024 MiB"],
  [{ cpus: 0 }, {}, "usage", "cpus must be a whole number from 1, not 0"],
  [{ cpus: 1.5 }, {}, "usage", "cpus must be a whole number from 1, not 1.5"],
  [{ cpus: 9 }, {}, "insufficient_resources", "9 CPUs were asked for; this machine has 2 cores and gives at most 8"],
  [
    {},
    { availableMemoryBytes: GiB },
    "insufficient_resources",
    "1024 MiB of memory were asked for; 768 MiB can be given now",
  ],
  [
    {},
    { availableMemoryBytes: 1 },
    "insufficient_resources",
    "1024 MiB of memory were asked for; 0 MiB can be given now",
  ],
  [{}, { freeDiskBytes: 5 * 1024 ** 2 }, "disk_full", "/state has 5 MiB of free space; a sandbox needs 256 MiB"],
];

for (const [demand, host, code, message] of REFUSALS) {
  test(`refused: ${message}`, () => {
    assert.throws(
      () => judge({ ...DEMAND, ...demand }, { ...HOST, ...host }, "/state"),
      (error: unknown) => {
        assert.ok(error instanceof SbxError);
        assert.equal(error.message, message);
        assert.equal(error.code, code);
        return true;
      },
    );
  });
}
