/** `create --checkpoint`: one sandbox from a machine that was kept. */
import { SbxError } from "../../errors.ts";
import type { CallOptions, Sandbox } from "../../runtime.ts";
import type { CallerEnvironment, SandboxSpec } from "../../types.ts";
import { checkSandboxName } from "../sandbox-id.ts";
import type { CreateContext } from "../start-sandbox.ts";
import { planCopies, startCopy, type CopyOrigin } from "./start-copy.ts";

/** What a saved machine has already, and can have no other. */
const FIXED = ["image", "memoryBytes", "cpus", "diskBytes", "root", "volumes", "mounts", "network"] as const;

const OPTIONS: Readonly<Record<(typeof FIXED)[number], string>> = {
  image: "an image",
  memoryBytes: "a size of its memory",
  cpus: "a number of processors",
  diskBytes: "a size of its disk",
  root: "a root",
  volumes: "volumes",
  mounts: "mounts",
  network: "rules for its network, or secrets",
};

/** @throws SbxError `usage` for what a saved machine cannot be given, `checkpoint_broken`, or why it does not start */
export async function createFromCheckpoint(
  context: CreateContext,
  origin: CopyOrigin,
  spec: SandboxSpec,
  options: CallOptions & CallerEnvironment,
): Promise<Sandbox> {
  if (spec.name !== undefined) checkSandboxName(spec.name);
  const given = FIXED.find((key) => spec[key] !== undefined);
  if (given !== undefined) {
    throw new SbxError("usage", `a sandbox from a checkpoint cannot be given ${OPTIONS[given]}: it has its own`, {
      hint: given === "network" ? "sbx net allow, when it runs" : "sbx create --checkpoint NAME",
    });
  }
  const plan = await planCopies(context, origin, options);
  const copy = {
    name: spec.name ?? null,
    lifetime: spec.lifetime,
    labels: { ...origin.saved.spec.labels, ...spec.labels },
    env: spec.env ?? {},
    budget: spec.budget,
  };
  const { sandbox } = await startCopy(context, plan, copy, options);
  return sandbox;
}
