/**
 * Finds, among many rules for one host, those whose path patterns can match a path: by what comes before a pattern's
 * first star. It may find more than match, never fewer.
 */
import { literalPrefix, type PathGlob, type PathReadings } from "./path-glob.ts";

/** Fewer rules are looked at one by one. */
const MIN_RULES = 24;

interface RuleWithPaths {
  readonly paths: readonly PathGlob[] | null;
}

export class PathIndex<T extends RuleWithPaths> {
  readonly #rules: readonly T[];
  readonly #withoutPaths: readonly T[];
  readonly #byPrefix = new Map<string, T[]>();

  /** @param rules in their order */
  constructor(rules: readonly T[]) {
    this.#rules = rules;
    this.#withoutPaths = rules.filter(({ paths }) => paths === null);
    for (const rule of rules) {
      for (const prefix of new Set(rule.paths?.map(literalPrefix))) {
        const list = this.#byPrefix.get(prefix);
        if (list === undefined) this.#byPrefix.set(prefix, [rule]);
        else list.push(rule);
      }
    }
  }

  /** Lists of rules, each in its order. @param read called where the path matters */
  find(read: () => PathReadings): (readonly T[])[] {
    if (this.#byPrefix.size === 0) return [this.#rules];
    const path = read();
    if (path.kind === "unclear") return [this.#rules];
    const found = new Set<readonly T[]>([this.#withoutPaths]);
    for (const segments of path.loose) {
      let prefix = "";
      this.#add(found, prefix);
      for (const segment of segments) {
        prefix += `/${segment}`;
        this.#add(found, prefix);
      }
    }
    return [...found];
  }

  #add(found: Set<readonly T[]>, prefix: string): void {
    const rules = this.#byPrefix.get(prefix);
    if (rules !== undefined) found.add(rules);
  }
}

/** Narrows lists of rules down to those that can be about the path; short ones are returned as they are. */
export class PathNarrowing<T extends RuleWithPaths> {
  readonly #indices = new WeakMap<readonly T[], PathIndex<T>>();

  narrow(lists: readonly (readonly T[])[], path: () => PathReadings): (readonly T[])[] {
    return lists.flatMap((rules) => {
      if (rules.length < MIN_RULES) return [rules];
      let index = this.#indices.get(rules);
      if (index === undefined) this.#indices.set(rules, (index = new PathIndex(rules)));
      return index.find(path);
    });
  }
}
