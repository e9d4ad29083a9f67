/**
 * What the guest's kernel knows of a folder, by the ids that it was given.
 *
 * A node is an inode of the host with the last place that it was seen at: a parent node and a name.
 * It holds no descriptor. The kernel keeps every file that it ever saw in its cache for as long as it has memory, so
 * descriptors for nodes would be as many as there are files; a place costs some bytes. The price is that a place has to
 * be checked whenever it is used (host-tree.ts), which is what makes a stale or swapped one harmless.
 *
 * The guest decides what is forgotten, so the number of nodes is bounded here.
 */
import { FuseError } from "./fuse-error.ts";
import { ROOT_ID } from "./fuse-protocol.ts";

/** Device, inode and time of birth. */
export type Identity = string;

export interface Node {
  readonly id: number;
  readonly identity: Identity;
  readonly isDirectory: boolean;
  /** Where it was last seen; `null` for the root. */
  parent: Node | null;
  /** One character a byte. */
  name: string;
  /** How often the kernel was told of it; it says when it forgets. */
  lookups: number;
  /** Nodes whose parent this is: it is kept for them. */
  children: number;
  /** Time and size when it was last opened, so that pages of an unchanged file stay in the guest's cache. */
  seen: string;
}

/** Nodes above which the kernel is asked to forget the oldest. */
const SOFT_LIMIT = 100_000;
const HARD_LIMIT = 400_000;
/** Longest way from the root, in steps. Each may be open at a time. */
const MAX_DEPTH = 512;
/** Nodes that are looked at for that at a time. */
const FORGET_STEPS = 512;

export class NodeTable {
  readonly root: Node;
  readonly #byId = new Map<number, Node>();
  readonly #byIdentity = new Map<Identity, Node>();
  readonly #softLimit: number;
  readonly #hardLimit: number;
  #nextId = ROOT_ID + 1;
  /** Where the search for nodes to be forgotten is. */
  #oldest: MapIterator<Node> | undefined;

  constructor(rootIdentity: Identity, { soft = SOFT_LIMIT, hard = HARD_LIMIT } = {}) {
    this.#softLimit = soft;
    this.#hardLimit = hard;
    const known = { parent: null, name: "", lookups: 1, children: 0, seen: "" };
    this.root = { id: ROOT_ID, identity: rootIdentity, isDirectory: true, ...known };
    this.#byId.set(ROOT_ID, this.root);
    this.#byIdentity.set(rootIdentity, this.root);
  }

  get size(): number {
    return this.#byId.size;
  }

  /** @throws FuseError ESTALE for an id that was never given, or was forgotten */
  get(id: number): Node {
    const node = this.#byId.get(id);
    if (node === undefined) throw new FuseError("ESTALE");
    return node;
  }

  find(identity: Identity): Node | undefined {
    return this.#byIdentity.get(identity);
  }

  /**
   * The node of an inode that was found at a place, which counts as one more lookup.
   *
   * @throws FuseError ENFILE
   */
  meet(identity: Identity, place: { parent: Node; name: string }, isDirectory: boolean): Node {
    const known = this.#byIdentity.get(identity);
    if (known !== undefined && known.isDirectory === isDirectory) {
      this.move(known, place);
      known.lookups += 1;
      return known;
    }
    if (this.#byId.size >= this.#hardLimit) throw new FuseError("ENFILE");
    const node: Node = { id: this.#nextId++, identity, isDirectory, ...place, lookups: 1, children: 0, seen: "" };
    place.parent.children += 1;
    this.#byId.set(node.id, node);
    // An inode number that was given to a new file: the old node stays until it is forgotten, and leads nowhere.
    this.#byIdentity.set(identity, node);
    return node;
  }

  /** Notes where a node is now. */
  move(node: Node, { parent, name }: { parent: Node; name: string }): void {
    if (node.parent === null || (node.parent === parent && node.name === name)) return;
    // The host may have turned a tree inside out between two looks at it.
    if (node.isDirectory && isBelow(parent, node)) return;
    const before = node.parent;
    parent.children += 1;
    node.parent = parent;
    node.name = name;
    this.#release(before);
  }

  /** The kernel forgets a node `count` times. What it does not know it cannot forget. */
  forget(id: number, count: number): void {
    const node = this.#byId.get(id);
    if (node === undefined || node.parent === null) return;
    node.lookups = Number.isNaN(count) ? 0 : Math.max(0, node.lookups - count);
    this.#drop(node);
  }

  /** Names that the kernel is to forget because there are too many, the oldest first, in turns. */
  takeSurplus(): { parentId: number; name: string }[] {
    const surplus: { parentId: number; name: string }[] = [];
    if (this.#byId.size <= this.#softLimit) return surplus;
    for (let step = 0; step < FORGET_STEPS; step++) {
      // An iterator of a Map goes on past what is added and removed meanwhile.
      const next = (this.#oldest ??= this.#byId.values()).next();
      if (next.done === true) {
        this.#oldest = undefined;
        break;
      }
      const { parent, children, name } = next.value;
      if (parent !== null && children === 0) surplus.push({ parentId: parent.id, name });
    }
    return surplus;
  }

  #release(parent: Node): void {
    parent.children -= 1;
    this.#drop(parent);
  }

  /** Removes a node that nobody needs, and those above it that were kept for it alone. */
  #drop(node: Node): void {
    let next = node;
    while (next.lookups === 0 && next.children === 0 && next.parent !== null) {
      this.#byId.delete(next.id);
      if (this.#byIdentity.get(next.identity) === next) this.#byIdentity.delete(next.identity);
      next.parent.children -= 1;
      next = next.parent;
    }
  }
}

/**
 * The nodes from below the root down to this one.
 *
 * @throws FuseError ENAMETOOLONG
 */
export function wayTo(node: Node): Node[] {
  const way: Node[] = [];
  for (let next = node; next.parent !== null; next = next.parent) {
    way.push(next);
    if (way.length > MAX_DEPTH) throw new FuseError("ENAMETOOLONG");
  }
  return way.reverse();
}

function isBelow(node: Node, ancestor: Node): boolean {
  let steps = 0;
  for (let next: Node | null = node; next !== null; next = next.parent) {
    if (next === ancestor || steps++ > MAX_DEPTH) return true;
  }
  return false;
}
