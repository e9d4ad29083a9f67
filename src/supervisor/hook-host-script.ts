/** The program of the hook process: of the bundle, or the source's when sbx runs from its sources. */
import path from "node:path";
import { packageRoot } from "../host/package-root.ts";

export function hookHostScript(): string {
  const fromSource = import.meta.filename.endsWith(".ts");
  return path.join(packageRoot(), fromSource ? "src/egress/hooks/hook-host.ts" : "dist/hook-host.js");
}
