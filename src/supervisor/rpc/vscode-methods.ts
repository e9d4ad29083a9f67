/**
 * `vscode` (deno-sandbox-protocol, section 3.8): VS Code for the browser as a process of the guest, whose port the client
 * then exposes. Anybody who knows that name has it: it asks for no token, as the client is given none.
 */
import type { Readable } from "node:stream";
import {
  CALLER_TOKEN_VARIABLE,
  DENO_EXTENSION,
  EDITOR_LOG_PATH,
  editorCommand,
  EXTENSION_GALLERY_URL,
  MAX_EDITOR_LAUNCH_BYTES,
  type EditorServe,
} from "../../protocol/editor-launch.ts";
import type { RpcParams } from "../../protocol/rpc-methods.ts";
import { CallError, callTypeError } from "./call-error.ts";
import { launchForClient } from "./launch.ts";
import type { Handlers } from "./session.ts";

/** Under emulation, on a busy machine, it takes a minute to be there, `ms`. */
const START_LIMIT_MS = 180_000;
/** A port and the end of its line. */
const MAX_PORT_BYTES = 6;

export const VSCODE_HANDLERS: Handlers<"vscode"> = {
  vscode: async (call, params) => {
    const { state } = call.session;
    const gallery = await state.editor.open(EXTENSION_GALLERY_URL);
    const launch = describe(params, state.resolvePath(params.path), gallery);
    const command = editorCommand(launch);
    if (Buffer.byteLength(command.at(-1) ?? "") > MAX_EDITOR_LAUNCH_BYTES) {
      throw callTypeError(`extensions and settings have up to ${MAX_EDITOR_LAUNCH_BYTES} bytes`);
    }
    const stdio = { stdout: "piped", stderr: "piped", env: withoutToken(params.env ?? {}) } as const;
    const { launched, result } = await launchForClient(call, command, stdio, { channel: "pipe" });
    const { pid, stdoutStreamId, stderrStreamId } = result;
    const port = launched.channel === null ? undefined : await readPort(launched.channel.readable, call.signal);
    if (port === undefined || stdoutStreamId === null || stderrStreamId === null) {
      await launched.process.signal("SIGKILL", true).catch(() => undefined); // it has ended
      throw new CallError({ constructorName: "Error", message: `VS Code did not start: ${EDITOR_LOG_PATH} says why` });
    }
    return { pid, port, stdoutStreamId, stderrStreamId };
  },
};

/** There is no stop button that could be left out. */
function describe(params: RpcParams<"vscode">, folder: string, gallery: boolean): EditorServe {
  const { extensions, editorSettings, preview } = params;
  return {
    ...{ action: "serve", gallery, folder, settings: editorSettings ?? {} },
    extensions: [...(gallery ? [DENO_EXTENSION] : []), ...extensions],
    preview: preview == null ? null : readPreview(preview),
  };
}

/** @throws CallError */
function readPreview(text: string): string {
  const url = URL.parse(text);
  if (url?.protocol === "http:" || url?.protocol === "https:") return url.href;
  throw callTypeError(`Invalid URL: '${text.slice(0, 2048)}'`);
}

function withoutToken(env: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(env).filter(([name]) => name !== CALLER_TOKEN_VARIABLE));
}

/** The line that the guest writes when its server listens; undefined for anything else. */
async function readPort(channel: Readable, signal: AbortSignal): Promise<number | undefined> {
  const until = AbortSignal.any([signal, AbortSignal.timeout(START_LIMIT_MS)]);
  const stop = (): void => void channel.destroy();
  until.addEventListener("abort", stop, { once: true });
  if (until.aborted) stop();
  let text = "";
  try {
    for await (const chunk of channel as AsyncIterable<Buffer>) {
      text += chunk.toString("latin1", 0, MAX_PORT_BYTES);
      if (text.includes("\n") || text.length >= MAX_PORT_BYTES) break;
    }
  } catch {
    return undefined; // Given up, or the process is gone.
  } finally {
    until.removeEventListener("abort", stop);
  }
  const port = /^(\d{1,5})\n/.exec(text)?.[1];
  return port !== undefined && Number(port) >= 1 && Number(port) <= 65_535 ? Number(port) : undefined;
}
