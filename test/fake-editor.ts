/** VS Code of the sandboxes of a FakeRuntime: nothing runs. */
import type { Editor, EditorApi, EditorSpec } from "../src/runtime/editor.ts";

export class FakeEditor implements EditorApi {
  /** Sandboxes that have it. */
  readonly running = new Set<string>();
  readonly #record: (method: string, ...args: unknown[]) => void;

  constructor(record: (method: string, ...args: unknown[]) => void) {
    this.#record = record;
  }

  async open(ref: string, { folder = "/home/app" }: EditorSpec): Promise<Editor> {
    this.#record("editor.open", ref, folder);
    const isNew = !this.running.has(ref);
    this.running.add(ref);
    return { url: `http://${ref}-k3v2.localhost:4000/?tkn=t0ken&folder=${folder}`, folder, guestPort: 40_000, isNew };
  }

  async stop(ref: string): Promise<boolean> {
    this.#record("editor.stop", ref);
    return this.running.delete(ref);
  }
}
