/** Frames as a guest makes and reads them: written apart from the stack, so that both can be wrong only independently. */
import { parseIpAddress } from "../src/egress/net/ip-address.ts";

export const GATEWAY_MAC = Buffer.from("525400736201", "hex");
export const GUEST_MAC = Buffer.from("525400736202", "hex");
export const GUEST_IPV4 = "198.19.0.2";
export const GATEWAY_IPV4 = "198.19.0.1";
export const GUEST_IPV6 = "fd73:6278::2";
export const GATEWAY_IPV6 = "fd73:6278::1";

export const FIN = 1;
export const SYN = 2;
export const RST = 4;
export const PSH = 8;
export const ACK = 16;

/** With its length before it, as QEMU sends it. */
export function framed(frame: Buffer): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(frame.length);
  return Buffer.concat([length, frame]);
}

export function ethernet(type: number, payload: Buffer, macs: { to?: Buffer; from?: Buffer } = {}): Buffer {
  const head = Buffer.alloc(14);
  head.set(macs.to ?? GATEWAY_MAC, 0);
  head.set(macs.from ?? GUEST_MAC, 6);
  head.writeUInt16BE(type, 12);
  return Buffer.concat([head, payload]);
}

export interface IpOptions {
  from?: string;
  to: string;
  /** IPv4's options, or IPv6's extension headers with the first one's number in `protocol`. */
  options?: Buffer;
  /** IPv4's flags and fragment offset. */
  fragment?: number;
  hopLimit?: number;
  macs?: { to?: Buffer; from?: Buffer };
}

/** A frame with an IP packet of the target's version. */
export function ip(protocol: number, payload: Buffer, options: IpOptions): Buffer {
  return options.to.includes(":") ? ipv6(protocol, payload, options) : ipv4(protocol, payload, options);
}

function ipv4(protocol: number, payload: Buffer, options: IpOptions): Buffer {
  const extra = options.options ?? Buffer.alloc(0);
  const head = Buffer.concat([Buffer.alloc(20), extra]);
  head[0] = 0x40 | (head.length / 4);
  head.writeUInt16BE(Math.min(0xffff, head.length + payload.length), 2);
  head.writeUInt16BE(options.fragment ?? 0x4000, 6);
  head[8] = options.hopLimit ?? 64;
  head[9] = protocol;
  head.set(addressBytes(options.from ?? GUEST_IPV4), 12);
  head.set(addressBytes(options.to), 16);
  head.writeUInt16BE(checksum(head), 10);
  return ethernet(0x0800, Buffer.concat([head, payload]), options.macs);
}

function ipv6(protocol: number, payload: Buffer, options: IpOptions): Buffer {
  const body = Buffer.concat([options.options ?? Buffer.alloc(0), payload]);
  const head = Buffer.alloc(40);
  head[0] = 0x60;
  head.writeUInt16BE(body.length, 4);
  head[6] = protocol;
  head[7] = options.hopLimit ?? 64;
  head.set(addressBytes(options.from ?? GUEST_IPV6), 8);
  head.set(addressBytes(options.to), 24);
  return ethernet(0x86dd, Buffer.concat([head, body]), options.macs);
}

export interface TcpOptions extends IpOptions {
  sourcePort: number;
  targetPort: number;
  sequence: number;
  ack?: number;
  flags: number;
  window?: number;
  tcpOptions?: Buffer;
  data?: Buffer;
}

export function tcp(options: TcpOptions): Buffer {
  const extra = options.tcpOptions ?? Buffer.alloc(0);
  const head = Buffer.concat([Buffer.alloc(20), extra]);
  head.writeUInt16BE(options.sourcePort, 0);
  head.writeUInt16BE(options.targetPort, 2);
  head.writeUInt32BE(options.sequence >>> 0, 4);
  head.writeUInt32BE((options.ack ?? 0) >>> 0, 8);
  head[12] = (head.length / 4) << 4;
  head[13] = options.flags;
  head.writeUInt16BE(options.window ?? 0xffff, 14);
  const segment = Buffer.concat([head, options.data ?? Buffer.alloc(0)]);
  seal(segment, 16, 6, options);
  return ip(6, segment, options);
}

export function udp(ports: { source: number; target: number }, data: Buffer, options: IpOptions): Buffer {
  const head = Buffer.alloc(8);
  head.writeUInt16BE(ports.source, 0);
  head.writeUInt16BE(ports.target, 2);
  head.writeUInt16BE(8 + data.length, 4);
  const datagram = Buffer.concat([head, data]);
  seal(datagram, 6, 17, options);
  return ip(17, datagram, options);
}

export function icmp(body: Buffer, options: IpOptions): Buffer {
  const copy = Buffer.from(body);
  if (options.to.includes(":")) {
    seal(copy, 2, 58, options);
    return ip(58, copy, options);
  }
  copy.writeUInt16BE(0, 2);
  copy.writeUInt16BE(checksum(copy), 2);
  return ip(1, copy, options);
}

export function arpRequest(target: string, sender: string = GUEST_IPV4): Buffer {
  const body = Buffer.from("0001080006040001", "hex");
  const parts = [body, GUEST_MAC, addressBytes(sender), Buffer.alloc(6), addressBytes(target)];
  return ethernet(0x0806, Buffer.concat(parts), { to: Buffer.alloc(6, 0xff) });
}

export function neighbourSolicitation(target: string, from: string = GUEST_IPV6, hopLimit = 255): Buffer {
  const body = Buffer.concat([
    Buffer.from("8700000000000000", "hex"),
    addressBytes(target),
    Buffer.from("0101", "hex"),
    GUEST_MAC,
  ]);
  const last = addressBytes(target).subarray(13);
  const group = `ff02::1:ff${last.toString("hex", 0, 1)}:${last.toString("hex", 1)}`;
  const macs = { to: Buffer.concat([Buffer.from("3333ff", "hex"), last]) };
  return icmp(body, { from, to: group, hopLimit, macs });
}

export function addressBytes(text: string): Buffer {
  const { version, word0, word1, word2, word3 } = parseIpAddress(text);
  const bytes = Buffer.alloc(16);
  for (const [at, word] of [word0, word1, word2, word3].entries()) bytes.writeInt32BE(word, at * 4);
  return version === 4 ? bytes.subarray(12) : bytes;
}

/** RFC 1071, as its text has it. */
export function checksum(bytes: Buffer): number {
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2) {
    sum += ((bytes[at] ?? 0) << 8) + (bytes[at + 1] ?? 0);
    if (sum > 0xffff) sum -= 0xffff;
  }
  return 0xffff - sum;
}

function pseudoHeader(from: string, to: string, protocol: number, length: number): Buffer {
  const tail = Buffer.alloc(8);
  tail.writeUInt32BE(length, 0);
  tail[7] = protocol;
  return Buffer.concat([addressBytes(from), addressBytes(to), tail]);
}

function seal(payload: Buffer, at: number, protocol: number, { from, to }: IpOptions): void {
  const source = from ?? (to.includes(":") ? GUEST_IPV6 : GUEST_IPV4);
  payload.writeUInt16BE(0, at);
  const sum = checksum(Buffer.concat([pseudoHeader(source, to, protocol, payload.length), payload]));
  payload.writeUInt16BE(sum === 0 && protocol === 17 ? 0xffff : sum, at);
}

/** A frame of the stack's, as the guest understands it. */
export interface ReadFrame {
  etherType: number;
  protocol: number;
  from: string;
  to: string;
  /** Behind the network layer's header. */
  payload: Buffer;
}

/** @throws Error if the guest's kernel would not believe it */
export function readFrame(frame: Buffer): ReadFrame {
  if (!frame.subarray(0, 6).equals(GUEST_MAC)) throw new Error("not for the guest");
  if (!frame.subarray(6, 12).equals(GATEWAY_MAC)) throw new Error("not from the gateway");
  const etherType = frame.readUInt16BE(12);
  const body = frame.subarray(14);
  if (etherType === 0x0806) return { etherType, protocol: 0, from: "", to: "", payload: body };
  const read = etherType === 0x0800 ? readIpv4(body) : readIpv6(body);
  const isIcmp = read.protocol === 1;
  const pseudo = isIcmp ? Buffer.alloc(0) : pseudoHeader(read.from, read.to, read.protocol, read.payload.length);
  if (checksum(Buffer.concat([pseudo, read.payload])) !== 0) throw new Error("wrong checksum");
  return { etherType, ...read };
}

function readIpv4(packet: Buffer): Omit<ReadFrame, "etherType"> {
  if (packet[0] !== 0x45) throw new Error("not a plain IPv4 header");
  if (checksum(packet.subarray(0, 20)) !== 0) throw new Error("wrong header checksum");
  if (packet.readUInt16BE(2) !== packet.length) throw new Error("wrong length");
  const dotted = (at: number): string => Array.from(packet.subarray(at, at + 4)).join(".");
  return { protocol: packet[9] ?? 0, from: dotted(12), to: dotted(16), payload: packet.subarray(20) };
}

function readIpv6(packet: Buffer): Omit<ReadFrame, "etherType"> {
  if ((packet[0] ?? 0) >> 4 !== 6) throw new Error("not IPv6");
  if (packet.readUInt16BE(4) !== packet.length - 40) throw new Error("wrong length");
  const address = (at: number): string => {
    const groups = Array.from({ length: 8 }, (_, index) => packet.readUInt16BE(at + index * 2).toString(16));
    return parseIpAddress(groups.join(":")).toString();
  };
  return { protocol: packet[6] ?? 0, from: address(8), to: address(24), payload: packet.subarray(40) };
}

export interface ReadSegment {
  from: string;
  sourcePort: number;
  targetPort: number;
  sequence: number;
  ack: number;
  flags: number;
  window: number;
  options: Buffer;
  data: Buffer;
}

/** Undefined if it is no TCP. @throws Error as {@link readFrame} */
export function readSegment(frame: Buffer): ReadSegment | undefined {
  const { protocol, payload, from } = readFrame(frame);
  if (protocol !== 6) return undefined;
  const headerBytes = ((payload[12] ?? 0) >> 4) * 4;
  return {
    from,
    sourcePort: payload.readUInt16BE(0),
    targetPort: payload.readUInt16BE(2),
    sequence: payload.readUInt32BE(4),
    ack: payload.readUInt32BE(8),
    flags: payload[13] ?? 0,
    window: payload.readUInt16BE(14),
    options: Buffer.from(payload.subarray(20, headerBytes)),
    data: Buffer.from(payload.subarray(headerBytes)),
  };
}
