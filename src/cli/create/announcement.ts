/** What is told of a new sandbox that lives on. */
import type { Exposure } from "../../runtime/exposures.ts";
import type { SandboxInfo } from "../../runtime/types.ts";
import { humanRest } from "../output/human.ts";
import { exposureJson } from "../view/exposure-view.ts";
import { sandboxJson } from "../view/sandbox-view.ts";

/** For scripts: the sandbox and its URLs. */
export function createdJson(info: SandboxInfo, exposures: readonly Exposure[]): Record<string, unknown> {
  return { ...sandboxJson(info), exposures: exposures.map(exposureJson) };
}

/** For people, beside a command that runs in it. */
export function livesOn({ id, expiresAt }: SandboxInfo, now: number): string {
  return expiresAt === null ? `${id} lives on` : `${id} lives on for ${humanRest(expiresAt - now)}`;
}
