/** A sandbox's record with plausible values. */
import type { NewSandbox } from "../../../src/store/sandbox-store.ts";
import { ownIdentity } from "../../../src/host/process-identity.ts";

let counter = 0;

export function sampleSandbox(change: Partial<NewSandbox> = {}): NewSandbox {
  counter += 1;
  const id = change.id ?? `sbx_loc_${String(counter).padStart(20, "0")}`;
  return {
    id,
    name: null,
    createdAt: 1_000 + counter,
    directory: `/nowhere/${id}`,
    socket: `/nowhere/${id}.sock`,
    creator: ownIdentity(),
    spec: {
      imageId: "a".repeat(64),
      imageName: "default",
      templateKey: "key",
      memoryBytes: 1024 ** 3,
      cpus: 2,
      diskBytes: 10 * 1024 ** 3,
      accelerator: "tcg",
      labels: { team: "x" },
      session: false,
    },
    ...change,
  };
}
