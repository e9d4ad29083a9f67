/**
 * The memory that outgoing frames are built in, and the Internet checksum (RFC 1071) over it. The guest verifies
 * checksums in software, so each byte sent to it is summed here: 16 bytes an instruction in WebAssembly (11 GB/s where
 * the best loop in JavaScript does 2.5). Without WebAssembly, or without address space for it, the loop does.
 */

export interface FrameMemory {
  readonly bytes: Buffer;
  /** Folded sum of big-endian 16-bit words. Up to {@link SUM_STEP_BYTES} bytes behind `end` are overwritten. */
  sum(begin: number, end: number): number;
}

/** Summed at once. */
export const SUM_STEP_BYTES = 64;
const PAGE_BYTES = 65_536;

/** @param bytes usable, without the step that {@link FrameMemory.sum} may need behind the end */
export function createFrameMemory(bytes: number): FrameMemory {
  try {
    return createWasmMemory(bytes + SUM_STEP_BYTES);
  } catch {
    // --jitless has no WebAssembly, and a limit on address space (RLIMIT_AS) leaves no room for its guard pages.
    return createPlainMemory(bytes + SUM_STEP_BYTES);
  }
}

/** What is used of it: its types come with the DOM's only. */
interface WebAssemblyApi {
  Memory: new (size: { initial: number }) => { readonly buffer: ArrayBuffer };
  Module: new (bytes: Uint8Array) => object;
  Instance: new (
    module: object,
    imports: object,
  ) => { readonly exports: { s: (begin: number, end: number) => number } };
}

export function createWasmMemory(bytes: number): FrameMemory {
  const { WebAssembly } = globalThis as unknown as { WebAssembly: WebAssemblyApi };
  const memory = new WebAssembly.Memory({ initial: Math.ceil(bytes / PAGE_BYTES) });
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(assembleSum()), { m: { m: memory } });
  const sumWords = exports.s;
  const buffer = Buffer.from(memory.buffer);
  return { bytes: buffer, sum: (begin, end) => swap(fold(sumWords(begin, pad(buffer, begin, end)) >>> 0)) };
}

export function createPlainMemory(bytes: number): FrameMemory {
  const memory = new ArrayBuffer(Math.ceil(bytes / PAGE_BYTES) * PAGE_BYTES);
  const buffer = Buffer.from(memory);
  const words = new Uint16Array(memory);
  const sum = (begin: number, end: number): number => {
    const padded = pad(buffer, begin, end);
    // A frame at an odd address is moved by one byte: sums commute with swapping the bytes of all words.
    if ((begin & 1) === 0) return swap(fold(sumLoop(words, begin >>> 1, padded >>> 1)));
    const first = buffer[begin] ?? 0;
    buffer[padded] = 0;
    return fold(fold(sumLoop(words, (begin + 1) >>> 1, (padded + 1) >>> 1)) + (first << 8));
  };
  return { bytes: buffer, sum };
}

/** Zeros up to a whole step: they add nothing. */
function pad(buffer: Buffer, begin: number, end: number): number {
  const padded = end + ((begin - end) & (SUM_STEP_BYTES - 1));
  buffer.fill(0, end, padded);
  return padded;
}

/** 65,536 bytes of 0xff fit in 32 bits. */
function sumLoop(words: Uint16Array, begin: number, end: number): number {
  const at = (index: number): number => words[index] ?? 0;
  let sum = 0;
  for (let index = begin; index < end; index += 4) {
    sum = (sum + at(index) + at(index + 1) + at(index + 2) + at(index + 3)) | 0;
  }
  return sum >>> 0;
}

export function fold(sum: number): number {
  let folded = (sum & 0xffff) + (sum >>> 16);
  folded = (folded & 0xffff) + (folded >>> 16);
  return folded;
}

/** Words were read as this machine (little-endian: amd64 and arm64 are) has them; sums commute with swapping. */
function swap(sum: number): number {
  return ((sum & 0xff) << 8) | (sum >>> 8);
}

/**
 * `(func (export "s") (param $at i32) (param $end i32) (result i32) (local $sum v128) …)`: adds the 16-bit words of 64
 * bytes a turn to four 32-bit lanes, then the lanes. A lane holds 64 KiB of 0xffff without overflow, and so do all four.
 */
function assembleSum(): Uint8Array<ArrayBuffer> {
  const [i32, v128, empty] = [0x7f, 0x7b, 0x40];
  const get = (local: number): number[] => [0x20, local];
  const set = (local: number): number[] => [0x21, local];
  const simd = (...rest: number[]): number[] => [0xfd, ...rest];
  const addWordsAt = (offset: number): number[] => [
    ...get(2),
    ...get(0),
    ...simd(0x00, 0, offset), // v128.load, alignment 1
    ...simd(0x7f), // i32x4.extadd_pairwise_i16x8_u
    ...simd(0xae, 0x01), // i32x4.add
    ...set(2),
  ];
  const lane = (index: number): number[] => [...get(2), ...simd(0x1b, index)]; // i32x4.extract_lane
  const body = [
    ...[1, 1, v128],
    ...[0x02, empty, 0x03, empty], // block, loop
    ...[...get(0), ...get(1), 0x4f, 0x0d, 1], // i32.ge_u, br_if 1
    ...[0, 16, 32, 48].flatMap(addWordsAt),
    ...[...get(0), 0x41, 0xc0, 0x00, 0x6a, ...set(0)], // i32.const 64, i32.add
    ...[0x0c, 0, 0x0b, 0x0b], // br 0, end, end
    ...[...lane(0), ...lane(1), 0x6a, ...lane(2), 0x6a, ...lane(3), 0x6a, 0x0b],
  ];
  const counted = (bytes: number[]): number[] => [(bytes.length & 0x7f) | 0x80, bytes.length >> 7, ...bytes];
  const section = (id: number, bytes: number[]): number[] => [id, ...counted(bytes)];
  const [m, s] = ["m".charCodeAt(0), "s".charCodeAt(0)];
  return new Uint8Array([
    ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, [1, 0x60, 2, i32, i32, 1, i32]),
    ...section(2, [1, 1, m, 1, m, 0x02, 0, 1]), // import memory m.m
    ...section(3, [1, 0]),
    ...section(7, [1, 1, s, 0, 0]),
    ...section(10, [1, ...counted(body)]),
  ]);
}
