/** A `secret-tool` for tests, on a PATH of its own: keeps what it is given in a directory, and notes its arguments. */
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";

/** What it does: as it should, no D-Bus session, never an answer, or it loses what it is given. */
export type ToolMode = "works" | "no-session" | "hangs" | "forgets";

export class FakeSecretTool {
  readonly #directory: string;
  readonly environment: NodeJS.ProcessEnv;

  constructor(directory: string, mode: ToolMode = "works") {
    this.#directory = path.join(directory, "secret-tool");
    mkdirSync(path.join(this.#directory, "kept"), { recursive: true });
    writeFileSync(path.join(this.#directory, "secret-tool"), SCRIPT);
    chmodSync(path.join(this.#directory, "secret-tool"), 0o755);
    this.mode = mode;
    this.environment = { PATH: `${this.#directory}:/usr/bin:/bin`, FAKE: this.#directory };
  }

  set mode(mode: ToolMode) {
    writeFileSync(path.join(this.#directory, "mode"), mode);
  }

  /** Keys that it keeps, by the name that they were stored under. */
  get kept(): Map<string, string> {
    const directory = path.join(this.#directory, "kept");
    return new Map(readdirSync(directory).map((name) => [name, readFileSync(path.join(directory, name), "utf8")]));
  }

  set(name: string, text: string): void {
    writeFileSync(path.join(this.#directory, "kept", name), text);
  }

  /** All arguments that it was ever called with. */
  get calls(): string {
    const file = path.join(this.#directory, "calls");
    return existsSync(file) ? readFileSync(file, "utf8") : "";
  }
}

// The last word is the name that the key goes by.
const SCRIPT = `#!/bin/sh
echo "$@" >> "$FAKE/calls"
for last in "$@"; do :; done
case "$(cat "$FAKE/mode")" in
  no-session) echo "secret-tool: Cannot autolaunch D-Bus without X11 \\$DISPLAY" >&2; exit 1 ;;
  hangs) exec sleep 60 ;;
  forgets) [ "$1" = store ] && { cat > /dev/null; exit 0; } ;;
esac
case "$1" in
  store) cat > "$FAKE/kept/$last" ;;
  lookup) [ -e "$FAKE/kept/$last" ] && cat "$FAKE/kept/$last" ;;
  clear) rm -f "$FAKE/kept/$last" ;;
esac
`;
