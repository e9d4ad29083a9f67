/** The guest stands still for as long as there is a reason, whichever of them came first and whichever goes last. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Standstill, type StandstillReason } from "../../../src/supervisor/standstill.ts";

/** Does what QEMU does with `stop` and `cont`. */
class FakeMachine {
  runs = true;
  readonly commands: string[] = [];
  refuses = false;

  async execute(command: string): Promise<unknown> {
    this.commands.push(command);
    if (this.refuses) throw new Error("no");
    this.runs = command === "cont";
    return {};
  }
}

test("the guest runs exactly when no reason is left", async () => {
  const step = fc.record({
    reason: fc.constantFrom<StandstillReason>("user", "disk", "copy"),
    what: fc.constantFrom("hold", "note", "release"),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
      const machine = new FakeMachine();
      const standstill = new Standstill(machine);
      const reasons = new Set<StandstillReason>();
      for (const { reason, what } of steps) {
        if (what === "release") {
          reasons.delete(reason);
          const ran = machine.runs;
          assert.equal(await standstill.release(reason), machine.runs && !ran);
        } else {
          reasons.add(reason);
          // QEMU stops by itself before it is noted.
          if (what === "note") machine.runs = false;
          if (what === "note") standstill.note(reason);
          else await standstill.hold(reason);
        }
        assert.equal(machine.runs, reasons.size === 0);
        assert.equal(standstill.any, reasons.size > 0);
        assert.equal(standstill.has(reason), reasons.has(reason));
      }
    }),
  );
});

test("a guest that could not be stopped has no reason to stand still", async () => {
  const machine = new FakeMachine();
  machine.refuses = true;
  const standstill = new Standstill(machine);
  await assert.rejects(standstill.hold("user"), { message: "no" });
  assert.equal(standstill.any, false);
});
