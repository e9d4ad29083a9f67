/** Connections of a guest that is a copy: its kernel has them, the stack before it does not, and they end at once. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ACK, RST, SYN } from "../../../fuzz/net-guest-frames.ts";
import { ScriptedGuest } from "../../../fuzz/net-scripted-guest.ts";

const OLD = [
  { address: "203.0.113.7", port: 443, guestPort: 40_001 },
  { address: "2001:db8::7", port: 80, guestPort: 40_002 },
];

test("a connection of before is provoked, and what the guest says to that is answered with a reset", async () => {
  using guest = new ScriptedGuest();
  guest.stack.breakOff(OLD);
  await guest.pass(0);
  const provocations = guest.takeSegments();
  assert.deepEqual(
    provocations.map(({ flags, sourcePort, targetPort }) => ({ flags, sourcePort, targetPort })),
    OLD.map(({ port, guestPort }) => ({ flags: SYN, sourcePort: port, targetPort: guestPort })),
  );
  const { end } = await guest.connect();
  assert.notEqual(end.port, OLD[0]?.guestPort);
  // RFC 5961: the guest acknowledges what it has, and says nothing else.
  await guest.send(
    ...OLD.map(({ address, port, guestPort }, at) =>
      end.frame({ to: address, targetPort: port, sourcePort: guestPort, sequence: 1000, ack: 5000 + at, flags: ACK }),
    ),
  );
  const answers = guest.takeSegments();
  assert.deepEqual(
    answers.map(({ flags, sequence, targetPort }) => ({ flags, sequence, targetPort })),
    OLD.map(({ guestPort }, at) => ({ flags: RST, sequence: 5000 + at, targetPort: guestPort })),
  );
});

test("it is tried again for a while, and then no more", async () => {
  using guest = new ScriptedGuest();
  guest.stack.breakOff(OLD);
  let tries = 0;
  for (let second = 0; second < 100; second++) {
    await guest.pass(100);
    tries += guest.takeSegments().length;
  }
  assert.equal(tries, 4 * OLD.length);
  assert.deepEqual(guest.stack.connections(), []);
});

test("the connections of a guest are those that it has or is about to have", async () => {
  using guest = new ScriptedGuest();
  const { end } = await guest.connect({ to: "203.0.113.9", targetPort: 8080 });
  await guest.dial();
  assert.deepEqual(guest.stack.connections(), [{ address: "203.0.113.9", port: 8080, guestPort: end.port }]);
  guest.stack.breakOff(OLD);
  assert.equal(guest.stack.connections().length, 3, "what is still to be ended belongs to them");
});
