/**
 * Which kernel modules the initramfs needs and in which order to load them, from modules.dep and modules.builtin of a
 * distribution's kernel package (modules.dep(5)). Pure. The files come from a signed package.
 */

/** `modules.dep`: a module's file, and the files it needs, the last one to be loaded first. */
export interface ModuleIndex {
  /** Paths below the modules' directory by module name. */
  paths: ReadonlyMap<string, string>;
  /** Dependencies by path. */
  needs: ReadonlyMap<string, readonly string[]>;
  builtin: ReadonlySet<string>;
}

/** A module's name as the kernel knows it: no directory, no suffix, underscores. */
export function moduleName(filePath: string): string {
  const base = filePath.slice(filePath.lastIndexOf("/") + 1);
  return base.replace(/\.ko(\.(xz|zst|gz))?$/, "").replaceAll("-", "_");
}

/** Reads the two index files. Lines that are not understood are an error: half an index loads half the drivers. */
export function parseModuleIndex(modulesDep: string, modulesBuiltin: string): ModuleIndex {
  const paths = new Map<string, string>();
  const needs = new Map<string, readonly string[]>();
  for (const line of modulesDep.split("\n")) {
    if (line.trim() === "") continue;
    const colon = line.indexOf(":");
    if (colon <= 0) throw new Error(`modules.dep has a line without a colon: ${JSON.stringify(line.slice(0, 80))}`);
    const file = line.slice(0, colon);
    paths.set(moduleName(file), file);
    needs.set(
      file,
      line
        .slice(colon + 1)
        .split(" ")
        .filter(Boolean),
    );
  }
  const builtin = new Set(modulesBuiltin.split("\n").filter(Boolean).map(moduleName));
  return { paths, needs, builtin };
}

/**
 * Files to load so that every wanted module is there, each after what it needs, none twice.
 *
 * @throws Error when the kernel has no such module, neither built in nor to load
 */
export function loadOrder(index: ModuleIndex, wanted: readonly string[]): string[] {
  const order = new Set<string>();
  for (const name of wanted) {
    const file = index.paths.get(name);
    if (file === undefined) {
      if (index.builtin.has(name)) continue;
      throw new Error(`the kernel has no module ${name}`);
    }
    // modules.dep lists the nearest first, so what must be loaded first comes last.
    for (const needed of [...(index.needs.get(file) ?? [])].reverse()) order.add(needed);
    order.add(file);
  }
  return [...order];
}
