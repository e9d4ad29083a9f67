/** VS Code in sandboxes on a server: the page is its gateway's. */
import type { Editor, EditorApi, EditorSpec } from "../editor.ts";
import type { CallOptions } from "../types.ts";
import type { ControlClient } from "./control-client.ts";

export class RemoteEditor implements EditorApi {
  readonly #client: ControlClient;

  constructor(client: ControlClient) {
    this.#client = client;
  }

  async open(ref: string, { folder }: EditorSpec, options: CallOptions = {}): Promise<Editor> {
    return this.#client.call("editor.open", { ref, ...(folder === undefined ? {} : { folder }) }, options);
  }

  async stop(ref: string, options: CallOptions = {}): Promise<boolean> {
    return (await this.#client.call("editor.stop", { ref }, options)).stopped;
  }
}
