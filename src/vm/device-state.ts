/**
 * The state of a machine's devices as QEMU writes it while the machine stays where it is, made into what a new QEMU takes
 * with `migrate-incoming`. The former (QMP `xen-save-devices-state`, which has nothing to do with Xen but its first user)
 * lacks two parts of the latter: the configuration at the beginning, which says that memory comes by other ways, and the
 * description for tools at the end. (QEMU's docs/devel/migration and migration/savevm.c; the same from 7.2 to 10.)
 */
import { SbxError } from "../runtime/errors.ts";

/** `QEVM` and version 3. */
const HEADER = Buffer.from([0x51, 0x45, 0x56, 0x4d, 0, 0, 0, 3]);
const CONFIGURATION = 0x07;
const SUBSECTION = 0x05;
const DESCRIPTION = 0x06;
const END = 0x00;

/** Some 80 kB in practice, `bytes`. */
export const MAX_DEVICE_STATE_BYTES = 64 * 1024 * 1024;

/** @throws SbxError `vm_start_failed` for what is no such state */
export function toIncomingState(saved: Buffer): Buffer {
  const isWhole =
    saved.length > HEADER.length && saved.subarray(0, HEADER.length).equals(HEADER) && saved.at(-1) === END;
  if (!isWhole || saved[HEADER.length] === CONFIGURATION) {
    throw new SbxError("vm_start_failed", `QEMU wrote ${saved.length} bytes that are no state of devices`, {
      hint: "sbx doctor",
    });
  }
  return Buffer.concat([HEADER, configuration(), saved.subarray(HEADER.length), description()]);
}

/** The machine's type, and the one capability that both ends must agree on. */
function configuration(): Buffer {
  return Buffer.concat([
    Buffer.from([CONFIGURATION]),
    word(MACHINE_TYPE.length),
    Buffer.from(MACHINE_TYPE),
    Buffer.from([SUBSECTION]),
    shortText("configuration/capabilities"),
    word(1), // its version
    word(1), // how many capabilities
    shortText("x-ignore-shared"),
  ]);
}

const MACHINE_TYPE = "microvm";

function description(): Buffer {
  const text = Buffer.from("{}");
  return Buffer.concat([Buffer.from([DESCRIPTION]), word(text.length), text]);
}

function word(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

function shortText(text: string): Buffer {
  return Buffer.concat([Buffer.from([text.length]), Buffer.from(text)]);
}
