/**
 * How VS Code for the browser is started in a guest, whoever does it: where its disk is, the program on it that starts
 * and ends it (image/editor/launch.mjs), and what that program answers. The guest may answer anything.
 */
import * as z from "zod/mini";

/** Where a sandbox has the disk, to read only. */
export const EDITOR_MOUNT_PATH = "/opt/sbx/code";
/** The folder that is opened where none is named. */
export const EDITOR_DEFAULT_FOLDER = "/home/app";
/** Where extensions come from, if a sandbox may connect to it. */
export const EXTENSION_GALLERY_URL = "https://open-vsx.org/";
/** What it says, in the guest. */
export const EDITOR_LOG_PATH = "/home/app/.local/share/sbx-code/server.log";
/** Longest answer, `bytes`. */
export const MAX_EDITOR_ANSWER_BYTES = 4096;

export type EditorLaunch = { action: "start"; gallery: boolean } | { action: "stop" } | EditorServe;

/** VS Code as a process that its client waits for: it says its port, as a line, into descriptor 3. It asks for no token. */
export interface EditorServe {
  action: "serve";
  gallery: boolean;
  /** Absolute. */
  folder: string;
  /** Of the gallery, by their ids, or files of the guest. */
  extensions: string[];
  /** Added to the user's settings. */
  settings: Record<string, unknown>;
  /** Opened beside the folder. */
  preview: string | null;
}

/** Longest description of what is to be started: Linux takes no longer argument (MAX_ARG_STRLEN is 128 KiB). `bytes` */
export const MAX_EDITOR_LAUNCH_BYTES = 100 * 1024;
/** The published service installs it in every instance. */
export const DENO_EXTENSION = "denoland.vscode-deno";
/** The variable in which the official SDK sends its caller's own token along: no guest is to have it. */
export const CALLER_TOKEN_VARIABLE = "DENO_DEPLOY_SANDBOX_TOKEN";

/** The command in the guest. */
export function editorCommand(launch: EditorLaunch): [string, ...string[]] {
  const program = [`${EDITOR_MOUNT_PATH}/node/bin/node`, `${EDITOR_MOUNT_PATH}/launch.mjs`] as const;
  return [...program, JSON.stringify(launch)];
}

export const editorStarted = () =>
  z.object({
    port: z.int().check(z.minimum(1), z.maximum(65_535)),
    /** Goes into a URL. */
    token: z.string().check(z.regex(/^[\w-]{16,64}$/)),
    /** Whether it was started now. */
    isNew: z.boolean(),
  });
export type EditorStarted = z.output<ReturnType<typeof editorStarted>>;

export const editorStopped = () => z.object({ stopped: z.boolean() });

/** The address of its page: the token is exchanged for a cookie, and gone from the address bar, when it is opened. */
export function editorUrl(base: string, { token }: Pick<EditorStarted, "token">, folder: string): string {
  const url = new URL("/", base);
  url.searchParams.set("tkn", token);
  url.searchParams.set("folder", folder);
  return url.href;
}
