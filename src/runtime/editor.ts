/** VS Code for the browser in a sandbox, as commands see it. Part of the Runtime interface. */
import type { CallOptions } from "./types.ts";

export interface EditorApi {
  /**
   * Has VS Code run in a sandbox, and gives it a URL. The first call of all downloads it, the first one in a sandbox
   * starts it; repeated, it returns the same one.
   *
   * @throws SbxError `image_build_failed` where it cannot be downloaded, `guest_error` where it does not start
   */
  open(ref: string, spec: EditorSpec, options?: CallOptions): Promise<Editor>;
  /** Ends it, with what runs in its terminals, and takes its URL and its disk away. Returns whether it ran. */
  stop(ref: string, options?: CallOptions): Promise<boolean>;
}

export interface EditorSpec {
  /** Folder to open, absolute; the user's home if absent. */
  folder?: string;
}

export interface Editor {
  /** Of its page, with the token that opens it. */
  url: string;
  folder: string;
  /** Of the sandbox. */
  guestPort: number;
  /** Whether it was started now. */
  isNew: boolean;
}
