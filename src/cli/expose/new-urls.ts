/** `--expose-http`: URLs that a new sandbox has from the start; shared by `create` and `run`. */
import * as Flags from "@oclif/core/flags";
import type { Exposure } from "../../runtime/exposures.ts";
import type { CallOptions, Runtime, Sandbox } from "../../runtime/runtime.ts";
import { parsePort } from "../parsers/port.ts";

export const exposeFlags = {
  "expose-http": Flags.string({
    summary: "Give an HTTP server on this port of the sandbox a URL; see sbx expose.",
    helpValue: "PORT",
    multiple: true,
    multipleNonGreedy: true,
    parse: async (text) => {
      parsePort(text);
      return text;
    },
  }),
};

/** Makes them, and tells a person. A sandbox that cannot have them is not left behind. */
export async function exposePorts(
  runtime: Runtime,
  sandbox: Sandbox,
  ports: readonly string[] | undefined,
  { onUrl, ...options }: CallOptions & { onUrl?: ((notice: string) => void) | undefined },
): Promise<Exposure[]> {
  const exposures: Exposure[] = [];
  try {
    for (const port of new Set((ports ?? []).map(parsePort))) {
      const exposure = await runtime.exposures.add(sandbox.id, { guestPort: port }, options);
      onUrl?.(`port ${port} is at ${exposure.url}`);
      exposures.push(exposure);
    }
    return exposures;
  } catch (error) {
    await runtime.remove(sandbox.id);
    throw error;
  }
}
