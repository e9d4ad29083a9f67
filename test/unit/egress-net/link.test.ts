import assert from "node:assert/strict";
import { SocketAddress } from "node:net";
import { describe, test } from "node:test";
import fc from "fast-check";
import {
  addressBytes,
  arpRequest,
  ethernet,
  framed,
  GATEWAY_IPV4,
  GATEWAY_IPV6,
  GATEWAY_MAC,
  GUEST_IPV4,
  GUEST_IPV6,
  GUEST_MAC,
  icmp,
  ip,
  neighbourSolicitation,
  readFrame,
  SYN,
  tcp,
  udp,
} from "../../../fuzz/net-guest-frames.ts";
import { ScriptedGuest, settle } from "../../../fuzz/net-scripted-guest.ts";
import { IpAddress, parseIpAddress } from "../../../src/egress/net/ip-address.ts";

const SYN_OPTIONS = { sourcePort: 1, targetPort: 2, sequence: 1, flags: SYN };

describe("neighbours", () => {
  test("ARP is answered for the gateway, whoever else is asked for", async () => {
    using guest = new ScriptedGuest();
    await guest.send(arpRequest("198.19.0.7"), arpRequest(GUEST_IPV4), arpRequest("198.18.0.1"));
    assert.deepEqual(guest.take(), []);
    await guest.send(arpRequest(GATEWAY_IPV4));
    const [reply, ...others] = guest.take();
    assert.equal(others.length, 0);
    const expected = [Buffer.from("0001080006040002", "hex"), GATEWAY_MAC, addressBytes(GATEWAY_IPV4), GUEST_MAC];
    assert.deepEqual(readFrame(reply as Buffer).payload, Buffer.concat([...expected, addressBytes(GUEST_IPV4)]));
  });

  test("ARP of somebody else's address is not answered", async () => {
    using guest = new ScriptedGuest();
    await guest.send(arpRequest(GATEWAY_IPV4, "198.19.0.9"));
    assert.deepEqual(guest.take(), []);
  });

  test("a neighbour solicitation is answered for the gateway only, and only from the link", async () => {
    using guest = new ScriptedGuest();
    await guest.send(
      neighbourSolicitation("fd73:6278::9"),
      neighbourSolicitation(GATEWAY_IPV6, "fd73:6278::7"),
      neighbourSolicitation(GATEWAY_IPV6, GUEST_IPV6, 64),
    );
    assert.deepEqual(guest.take(), []);
    await guest.send(neighbourSolicitation(GATEWAY_IPV6), neighbourSolicitation(GATEWAY_IPV6, "fe80::5"));
    const replies = guest.take().map(readFrame);
    assert.deepEqual(
      replies.map(({ to }) => to),
      [GUEST_IPV6, "fe80::5"],
    );
    const [reply] = replies;
    assert.equal(reply?.payload[0], 136);
    assert.deepEqual(
      reply.payload.subarray(8),
      Buffer.concat([addressBytes(GATEWAY_IPV6), Buffer.from("0201", "hex"), GATEWAY_MAC]),
    );
  });
});

describe("ICMP", () => {
  for (const [version, gateway, request, reply] of [
    ["IPv4", GATEWAY_IPV4, 8, 0],
    ["IPv6", GATEWAY_IPV6, 128, 129],
  ] as const) {
    test(`an ${version} echo request to the gateway is answered`, async () => {
      using guest = new ScriptedGuest();
      const body = Buffer.concat([Buffer.from([request, 0, 0, 0, 1, 2, 3, 4]), Buffer.from("odd")]);
      await guest.send(icmp(body, { to: gateway }));
      const [frame] = guest.take();
      const { payload, from } = readFrame(frame as Buffer);
      assert.equal(from, gateway);
      assert.deepEqual([payload[0], payload.subarray(4)], [reply, body.subarray(4)]);
    });
  }

  test("an echo request to anybody else goes nowhere and is reported", async () => {
    using guest = new ScriptedGuest();
    await guest.send(icmp(Buffer.from([8, 0, 0, 0, 1, 2, 3, 4]), { to: "192.0.2.1" }));
    await guest.send(icmp(Buffer.from([128, 0, 0, 0, 1, 2, 3, 4]), { to: "2001:db8::1" }));
    assert.deepEqual(guest.take(), []);
    assert.deepEqual(guest.drops, [
      { kind: "icmp", target: { address: "192.0.2.1", port: 0 } },
      { kind: "icmp", target: { address: "2001:db8::1", port: 0 } },
    ]);
  });
});

describe("UDP", () => {
  for (const gateway of [GATEWAY_IPV4, GATEWAY_IPV6]) {
    test(`a datagram to the resolver ${gateway} is handed on, and its reply comes from there`, async () => {
      using guest = new ScriptedGuest();
      await guest.send(udp({ source: 5000, target: 53 }, Buffer.from("question"), { to: gateway }));
      const [datagram] = guest.datagrams;
      assert.deepEqual([datagram?.payload.toString(), datagram?.target], ["question", { address: gateway, port: 53 }]);
      datagram?.reply(Buffer.alloc(65_000, "a"));
      await settle();
      const [frame] = guest.take();
      const { payload, from } = readFrame(frame as Buffer);
      assert.deepEqual([from, payload.readUInt16BE(0), payload.readUInt16BE(2)], [gateway, 53, 5000]);
      assert.ok(payload.subarray(8).equals(Buffer.alloc(65_000, "a")));
    });
  }

  test("a datagram to anybody else is unreachable at once, and reported", async () => {
    using guest = new ScriptedGuest();
    const quic = udp({ source: 5000, target: 443 }, Buffer.alloc(1200), { to: "198.18.0.9" });
    const quic6 = udp({ source: 5000, target: 443 }, Buffer.alloc(1200), { to: "fd73:6278:0:1::9" });
    await guest.send(quic, quic6, udp({ source: 1, target: 54 }, Buffer.alloc(0), { to: GATEWAY_IPV4 }));
    const [first, second, third] = guest.take().map(readFrame);
    assert.deepEqual([first?.from, first?.payload.readUInt16BE(0)], ["198.18.0.9", 0x0303]);
    assert.ok(first?.payload.subarray(8).equals(quic.subarray(14, 14 + 28)));
    assert.deepEqual([second?.from, second?.payload.readUInt16BE(0)], ["fd73:6278:0:1::9", 0x0104]);
    assert.ok(second?.payload.subarray(8).equals(quic6.subarray(14, 14 + 48)));
    assert.equal(third?.from, GATEWAY_IPV4);
    assert.deepEqual(guest.drops[0], { kind: "udp", target: { address: "198.18.0.9", port: 443 } });
    assert.equal(guest.datagrams.length, 0);
  });

  test("a flood is counted, but neither answered nor reported one by one", async () => {
    using guest = new ScriptedGuest();
    const frame = udp({ source: 5000, target: 443 }, Buffer.alloc(10), { to: "192.0.2.1" });
    await guest.send(...Array.from({ length: 1000 }, () => frame));
    assert.equal(guest.take().length, 100);
    assert.equal(guest.drops.length, 50);
    assert.equal(guest.stack.counters.dropped.udp, 1000);
  });
});

describe("what is not for the gateway, or not from the guest", () => {
  const cases: [string, Buffer, string][] = [
    ["another target MAC", tcp({ ...SYN_OPTIONS, to: "192.0.2.1", macs: { to: Buffer.alloc(6, 2) } }), "spoofed"],
    ["another source MAC", tcp({ ...SYN_OPTIONS, to: "192.0.2.1", macs: { from: Buffer.alloc(6, 2) } }), "spoofed"],
    ["another source address", tcp({ ...SYN_OPTIONS, to: "192.0.2.1", from: "198.19.0.3" }), "spoofed"],
    ["another IPv6 source", tcp({ ...SYN_OPTIONS, to: "2001:db8::1", from: "fd73:6278::3" }), "spoofed"],
    ["a link-local IPv6 source", tcp({ ...SYN_OPTIONS, to: "2001:db8::1", from: "fe80::2" }), "spoofed"],
    [
      "TCP to a broadcast MAC",
      tcp({ ...SYN_OPTIONS, to: "192.0.2.1", macs: { to: Buffer.alloc(6, 255) } }),
      "multicast",
    ],
    ["TCP to a multicast address", tcp({ ...SYN_OPTIONS, to: "224.0.0.1" }), "multicast"],
    ["TCP to an IPv6 multicast address", tcp({ ...SYN_OPTIONS, to: "ff02::1" }), "multicast"],
    ["a first fragment", tcp({ ...SYN_OPTIONS, to: "192.0.2.1", fragment: 0x2000 }), "fragment"],
    ["a later fragment", tcp({ ...SYN_OPTIONS, to: "192.0.2.1", fragment: 100 }), "fragment"],
    ["an IPv6 fragment", ip(44, Buffer.alloc(40), { to: "2001:db8::1" }), "fragment"],
    ["SCTP", ip(132, Buffer.alloc(40), { to: "192.0.2.1" }), "protocol"],
    ["VLAN", ethernet(0x8100, Buffer.alloc(46)), "protocol"],
    ["a short frame", Buffer.alloc(10), "malformed"],
    ["a short header", ethernet(0x0800, Buffer.from([0x45])), "malformed"],
    ["IPv6 that is IPv4", ethernet(0x86dd, Buffer.alloc(60, 0x45)), "malformed"],
    ["a UDP length that lies", udpThatLies(), "malformed"],
    ["port 0", tcp({ ...SYN_OPTIONS, targetPort: 0, to: "192.0.2.1" }), "malformed"],
    ["five IPv6 extensions", withExtensions(5), "malformed"],
    [
      "a routing header with segments left",
      ip(43, Buffer.from([6, 0, 0, 1, 0, 0, 0, 0]), { to: "2001:db8::1" }),
      "malformed",
    ],
    [
      "an IPv6 extension beyond the end",
      ip(60, Buffer.from([6, 200, 0, 0, 0, 0, 0, 0]), { to: "2001:db8::1" }),
      "malformed",
    ],
    ["a wrong IPv4 header checksum", withByte(tcp({ ...SYN_OPTIONS, to: "192.0.2.1" }), 14 + 10, 0), "malformed"],
    ["an IPv4 length beyond the frame", withByte(tcp({ ...SYN_OPTIONS, to: "192.0.2.1" }), 14 + 2, 0xff), "malformed"],
  ];
  for (const [title, frame, kind] of cases) {
    test(`${title} is dropped as ${kind}`, async () => {
      using guest = new ScriptedGuest();
      await guest.send(frame);
      const { dropped } = guest.stack.counters;
      assert.deepEqual(
        Object.entries(dropped).filter(([, count]) => count > 0),
        [[kind, 1]],
      );
      assert.deepEqual([guest.take(), guest.flows], [[], []]);
    });
  }

  test("IPv4 options and up to four IPv6 extensions are skipped", async () => {
    using guest = new ScriptedGuest();
    await guest.send(tcp({ ...SYN_OPTIONS, to: "192.0.2.1", options: Buffer.alloc(12, 1) }), withExtensions(4));
    assert.deepEqual(
      guest.flows.map(({ target }) => target),
      [
        { address: "192.0.2.1", port: 2 },
        { address: "2001:db8::1", port: 2 },
      ],
    );
  });
});

describe("framing", () => {
  test("frames are found however the link cuts them", async () => {
    using guest = new ScriptedGuest();
    const bytes = Buffer.concat([arpRequest(GATEWAY_IPV4), arpRequest(GATEWAY_IPV4)].map(framed));
    for (const byte of bytes) await guest.sendRaw(Buffer.from([byte]));
    assert.equal(guest.take().length, 2);
  });

  test("a frame of any size that no network has is skipped without being kept", async () => {
    using guest = new ScriptedGuest();
    const length = Buffer.alloc(4);
    length.writeUInt32BE(3_000_000);
    await guest.sendRaw(Buffer.concat([length, Buffer.alloc(3_000_000, 1), framed(arpRequest(GATEWAY_IPV4))]));
    assert.equal(guest.stack.counters.dropped.malformed, 1);
    assert.equal(guest.take().length, 1);
  });

  test("the end of the link ends the stack", async () => {
    using guest = new ScriptedGuest();
    const { stream } = await guest.connect();
    guest.link.push(null);
    assert.equal(await guest.stack.closed, undefined);
    await settle();
    assert.equal((stream.errored as (Error & { code: string }) | null)?.code, "ECANCELED");
  });
});

test("addresses are written in their canonical form", () => {
  const group = fc.oneof(fc.constant(0), fc.constant(0), fc.integer({ min: 0, max: 0xffff }));
  fc.assert(
    fc.property(fc.tuple(group, group, group, group, group, group, group, group), (groups) => {
      const word = (at: number): number => ((groups[at] ?? 0) << 16) | (groups[at + 1] ?? 0);
      const text = new IpAddress(6, word(0), word(2), word(4), word(6)).toString();
      const { address } = new SocketAddress({
        address: groups.map((part) => part.toString(16)).join(":"),
        family: "ipv6",
      });
      // The library's form keeps an old one, `::1.2.3.4`, that RFC 5952 does not have.
      if (!/^::[\d.]+$/.test(address) || address.includes(":ffff:")) assert.equal(text, address);
      assert.equal(parseIpAddress(text).toString(), text);
    }),
  );
});

function withExtensions(count: number): Buffer {
  const options = Buffer.concat(
    Array.from({ length: count }, (_, at) => Buffer.from([at === count - 1 ? 6 : 60, 0, 1, 4, 0, 0, 0, 0])),
  );
  const frame = tcp({ ...SYN_OPTIONS, to: "2001:db8::1", options });
  return withByte(frame, 14 + 6, 60);
}

function udpThatLies(): Buffer {
  const frame = udp({ source: 1, target: 53 }, Buffer.alloc(10), { to: GATEWAY_IPV4 });
  return withByte(frame, 14 + 20 + 4, 0x10);
}

function withByte(frame: Buffer, at: number, byte: number): Buffer {
  const copy = Buffer.from(frame);
  copy[at] = byte;
  return copy;
}
