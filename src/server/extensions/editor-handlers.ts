/** VS Code in sandboxes: it is opened as on this machine, and its page is had through the gateway. */
import type { EDITOR_CALLS } from "../../protocol/control-calls-editor.ts";
import { requireDoor } from "./exposure-handlers.ts";
import type { ControlHandlers } from "./handler.ts";

export const EDITOR_HANDLERS: ControlHandlers<keyof typeof EDITOR_CALLS> = {
  "editor.open": async ({ ref, ...spec }, context) => {
    const { runtime, signal, onProgress } = context;
    const door = requireDoor(context);
    const { id } = await runtime.get(ref, { signal });
    const editor = await runtime.editor.open(id, spec, { signal, onProgress });
    const { url } = await door.expose(context, id, editor.guestPort);
    const { pathname, search } = new URL(editor.url);
    return { ...editor, url: new URL(`${pathname}${search}`, url).href };
  },
  "editor.stop": async ({ ref }, context) => {
    const { tenant, runtime, signal, doors } = context;
    const { id } = await runtime.get(ref, { signal });
    const ports = async (): Promise<number[]> => (await runtime.exposures.list(id)).map(({ guestPort }) => guestPort);
    const before = await ports();
    const stopped = await runtime.editor.stop(id, { signal });
    const after = await ports();
    // What has its port next is not what somebody has a URL for.
    const freed = before.filter((port) => !after.includes(port));
    for (const port of freed) await doors.http?.remove(tenant, id, port).catch(() => undefined);
    return { stopped };
  },
};
