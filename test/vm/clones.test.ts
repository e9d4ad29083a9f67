/** Two sandboxes of one template begin with the same memory; nothing that should be unique may come from it. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { openTestHome } from "./support/test-home.ts";

const home = await openTestHome();
let ids: string[] = [];
before(async () => {
  ids = await Promise.all([home.create(), home.create(), home.create()]);
});
after(async () => home[Symbol.asyncDispose]());

const UNIQUE: Record<string, string> = {
  "/dev/urandom": "head -c 16 /dev/urandom | xxd -p 2>/dev/null || head -c 16 /dev/urandom | od -An -tx1",
  "/dev/random": "head -c 16 /dev/random | od -An -tx1",
  getrandom: "python3 -c 'import os; print(os.getrandom(16).hex())'",
  "the kernel's uuid": "cat /proc/sys/kernel/random/uuid",
  "the boot id": "cat /proc/sys/kernel/random/boot_id",
  "the machine id": "cat /etc/machine-id",
  "the host name": "hostname",
  "python's random": "python3 -c 'import random; print(random.random())'",
  "python's hash seed": "python3 -c 'print(hash(\"seed\"))'",
  "node's random": "node -p 'Math.random()'",
  "openssl's or node's random bytes": "node -p 'crypto.randomUUID()'",
  "bash's RANDOM": "echo $RANDOM-$RANDOM-$RANDOM",
  AT_RANDOM:
    "python3 -c 'import ctypes; l=ctypes.CDLL(None); l.getauxval.restype=ctypes.c_ulong; print(ctypes.string_at(l.getauxval(25),16).hex())'",
  "mktemp's name": "basename $(mktemp)",
};

for (const [what, line] of Object.entries(UNIQUE)) {
  test(`no two clones agree on ${what}`, async () => {
    const values = await Promise.all(ids.map(async (id) => home.bash(id, line)));
    for (const value of values) assert.notEqual(value, "");
    assert.equal(new Set(values).size, values.length, values.join(" | "));
  });
}

test("no two clones agree on the pids of their processes or on when they started", async () => {
  const values = await Promise.all(
    ids.map(async (id) => home.bash(id, "echo $$; awk '/btime/ {print $2}' /proc/stat")),
  );
  const pids = values.map((value) => value.split("\n")[0]);
  assert.equal(new Set(pids).size, pids.length, pids.join(" | "));
});

test("a clone has the host's time, also when the template is old", async () => {
  for (const id of ids) {
    const before = Date.now();
    const guest = Number(await home.must(["exec", id, "--", "date", "+%s%3N"]));
    const after = Date.now();
    assert.ok(guest > before - 2000 && guest < after + 2000, `the guest says ${guest}, the host ${before} to ${after}`);
  }
});
