/**
 * dist/index.d.ts: the declarations of what the package exports, in one file. Of the sources' other types it holds those
 * that these need, and no others; it imports nothing but Node's. `npm pack` calls this.
 */
import { copyFileSync, mkdtempSync, readFileSync, renameSync, rmSync } from "node:fs";
import { isBuiltin } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { rollup } from "rollup";
import { dts } from "rollup-plugin-dts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));

/** @param dist where to; tests take a directory of their own */
export async function buildTypes(dist = join(ROOT, "dist")) {
  const target = join(dist, "index.d.ts");
  const temporary = mkdtempSync(join(tmpdir(), "sbx-types-"));
  try {
    const bundle = await rollup({
      input: join(ROOT, "src", "index.ts"),
      external: (id) => isBuiltin(id),
      plugins: [dts({ tsconfig: join(ROOT, "tsconfig.json"), compilerOptions: { noEmit: false } })],
      onLog: (level, log) => {
        if (level === "warn") throw new Error(log.message);
      },
    });
    await bundle.write({ file: join(temporary, "index.d.ts"), format: "es" });
    await bundle.close();
    const stray = /from ['"](?!node:)([^'"]+)['"]/.exec(readFileSync(join(temporary, "index.d.ts"), "utf8"))?.[1];
    if (stray !== undefined) throw new Error(`the declarations import ${stray}`);
    const beside = `${target}.${process.pid}.tmp`;
    copyFileSync(join(temporary, "index.d.ts"), beside);
    renameSync(beside, target);
  } finally {
    rmSync(temporary, { recursive: true, force: true });
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await buildTypes();
