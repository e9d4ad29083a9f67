/** Finds the ranges that contain an address, the smallest first, in a time that hardly grows with their number. */
import { type IpAddress, type IpRange, rangeContains } from "./ip-address.ts";

interface Node<T> {
  readonly range: IpRange;
  readonly items: T[];
  /** The smallest range that contains this one. */
  parent: Node<T> | undefined;
}

export class RangeIndex<T> {
  readonly #nodes: Record<4 | 6, Node<T>[]> = { 4: [], 6: [] };

  constructor(entries: Iterable<readonly [IpRange, T]>) {
    const nodes = new Map<string, Node<T>>();
    for (const [range, item] of entries) {
      const key = `${range.family} ${range.first} ${range.prefix}`;
      const node = nodes.get(key);
      if (node === undefined) nodes.set(key, { range, items: [item], parent: undefined });
      else node.items.push(item);
    }
    for (const node of nodes.values()) this.#nodes[node.range.family].push(node);
    for (const family of [4, 6] as const) nest(this.#nodes[family]);
  }

  /** The items of each range with the address, the smallest range first. Items of one range are in their given order. */
  find(address: IpAddress): (readonly T[])[] {
    const nodes = this.#nodes[address.family];
    const found: (readonly T[])[] = [];
    let node = lastBefore(nodes, address.value);
    for (; node !== undefined; node = node.parent) if (rangeContains(node.range, address)) found.push(node.items);
    return found;
  }
}

/** Sorts ranges so that each comes before those within it, and tells each which one it is in. */
function nest(nodes: Node<unknown>[]): void {
  nodes.sort((a, b) => {
    if (a.range.first !== b.range.first) return a.range.first < b.range.first ? -1 : 1;
    return a.range.prefix - b.range.prefix;
  });
  const open: Node<unknown>[] = [];
  for (const node of nodes) {
    for (let top = open.at(-1); top !== undefined && !containsRange(top.range, node.range); top = open.at(-1)) {
      open.pop();
    }
    node.parent = open.at(-1);
    open.push(node);
  }
}

export function containsRange(outer: IpRange, inner: IpRange): boolean {
  return outer.prefix <= inner.prefix && rangeContains(outer, { family: inner.family, value: inner.first });
}

/** The last node that begins at or before `value`: it contains the value, or one of its parents does, or none. */
function lastBefore<T>(nodes: readonly Node<T>[], value: bigint): Node<T> | undefined {
  let low = 0;
  let high = nodes.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const node = nodes[middle];
    if (node !== undefined && node.range.first <= value) low = middle + 1;
    else high = middle;
  }
  return nodes[low - 1];
}
