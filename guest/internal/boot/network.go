package boot

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"sbx.dev/agent/internal/netlink"
)

// The network of every sandbox: one card, whose other end is the supervisor's network stack. The numbers are the
// stack's (src/egress/net/addresses.ts), the card's address is QEMU's (src/vm/qemu-args.ts).
const (
	cardAddress = "52:54:00:73:62:02"
	// networkMTU is the largest that IPv4 over this card can have: the link loses nothing, and few large packets are
	// much less work for an emulated guest than many small ones.
	networkMTU = 65520
	resolver   = "198.19.0.1"
	resolvConf = "/etc/resolv.conf"
	cards      = "/sys/class/net"
)

var (
	gatewayHardware = []byte{0x52, 0x54, 0x00, 0x73, 0x62, 0x01}
	ownNetworks     = []struct {
		address, gateway []byte
		prefix           int
	}{
		{[]byte{198, 19, 0, 2}, []byte{198, 19, 0, 1}, 24},
		{inIPv6(2), inIPv6(1), 64},
	}
)

// inIPv6 returns an address of fd73:6278::/64.
func inIPv6(host byte) []byte {
	return []byte{0xfd, 0x73, 0x62, 0x78, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, host}
}

// cardSysctls keep the kernel from looking for routers and neighbours: there is one, and it is known.
var cardSysctls = []string{"accept_ra", "autoconf", "router_solicitations", "dad_transmits", "accept_dad"}

// networkUp configures the card of the sandbox. A machine without that card has no network.
func networkUp() error {
	name, index := findCard()
	if index == 0 {
		return nil
	}
	ipv6 := "/proc/sys/net/ipv6/conf/" + name + "/"
	for _, setting := range cardSysctls {
		// A kernel without IPv6 has none of these.
		_ = os.WriteFile(ipv6+setting, []byte("0"), 0)
	}
	c, err := netlink.Open()
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetUp(index, networkMTU); err != nil {
		return at("card", err)
	}
	for _, own := range ownNetworks {
		if _, err := os.Stat(ipv6); err != nil && len(own.address) == 16 {
			continue
		}
		if err := c.AddAddress(index, own.address, own.prefix); err != nil {
			return at("address", err)
		}
		if err := c.AddNeighbour(index, own.gateway, gatewayHardware); err != nil {
			return at("neighbour", err)
		}
		if err := c.AddDefaultRoute(index, own.gateway); err != nil {
			return at("route", err)
		}
	}
	return at(resolvConf, os.WriteFile(resolvConf, []byte("nameserver "+resolver+"\n"), 0o644))
}

// findCard returns the name and the number of the sandbox's card, 0 if there is none.
func findCard() (string, int) {
	entries, err := os.ReadDir(cards)
	if err != nil {
		return "", 0
	}
	for _, entry := range entries {
		if readLine(filepath.Join(cards, entry.Name(), "address")) == cardAddress {
			index, _ := strconv.Atoi(readLine(filepath.Join(cards, entry.Name(), "ifindex")))
			return entry.Name(), index
		}
	}
	return "", 0
}

func readLine(path string) string {
	content, _ := os.ReadFile(path)
	return strings.TrimSpace(string(content))
}
