// Package netlink says to the kernel what `ip` would say: rtnetlink(7), as far as one card with fixed addresses needs it.
package netlink

import (
	"encoding/binary"
	"syscall"
)

const (
	// ifaFlagNoDAD: nobody else is on the link, so an address needs no check for a duplicate (linux/if_addr.h).
	ifaFlagNoDAD = 0x02
	// Neighbours (linux/neighbour.h).
	ndaDst, ndaLladdr = 1, 2
	nudPermanent      = 0x80
	// Requests wait for their answer.
	requestFlags = syscall.NLM_F_REQUEST | syscall.NLM_F_ACK
	createFlags  = requestFlags | syscall.NLM_F_CREATE | syscall.NLM_F_REPLACE
	answerBytes  = 4096
)

// Conn is a socket to the kernel's routing tables.
type Conn struct {
	fd  int
	seq uint32
}

// Open connects.
func Open() (*Conn, error) {
	fd, err := syscall.Socket(syscall.AF_NETLINK, syscall.SOCK_RAW|syscall.SOCK_CLOEXEC, syscall.NETLINK_ROUTE)
	if err != nil {
		return nil, err
	}
	return &Conn{fd: fd}, nil
}

// Close disconnects.
func (c *Conn) Close() { _ = syscall.Close(c.fd) }

// SetUp sets a card's MTU and turns it on.
func (c *Conn) SetUp(card, mtu int) error {
	// struct ifinfomsg: family, padding, type (2), index (4), flags (4), mask of flags (4).
	m := make([]byte, 16)
	binary.NativeEndian.PutUint32(m[4:], uint32(card))
	binary.NativeEndian.PutUint32(m[8:], syscall.IFF_UP)
	binary.NativeEndian.PutUint32(m[12:], syscall.IFF_UP)
	m = appendAttribute(m, syscall.IFLA_MTU, number(mtu))
	return c.request(syscall.RTM_NEWLINK, requestFlags, m)
}

// AddAddress gives a card an address with the network around it.
func (c *Conn) AddAddress(card int, address []byte, prefix int) error {
	// struct ifaddrmsg: family, length of the prefix, flags, scope, index (4).
	m := []byte{family(address), byte(prefix), ifaFlagNoDAD, syscall.RT_SCOPE_UNIVERSE, 0, 0, 0, 0}
	binary.NativeEndian.PutUint32(m[4:], uint32(card))
	m = appendAttribute(m, syscall.IFA_LOCAL, address)
	m = appendAttribute(m, syscall.IFA_ADDRESS, address)
	return c.request(syscall.RTM_NEWADDR, createFlags, m)
}

// AddNeighbour says which hardware address is behind an address, for good.
func (c *Conn) AddNeighbour(card int, address []byte, hardware []byte) error {
	// struct ndmsg: family, padding (3), index (4), state (2), flags, type.
	m := make([]byte, 12)
	m[0] = family(address)
	binary.NativeEndian.PutUint32(m[4:], uint32(card))
	binary.NativeEndian.PutUint16(m[8:], nudPermanent)
	m = appendAttribute(m, ndaDst, address)
	m = appendAttribute(m, ndaLladdr, hardware)
	return c.request(syscall.RTM_NEWNEIGH, createFlags, m)
}

// AddDefaultRoute sends everything to a gateway.
func (c *Conn) AddDefaultRoute(card int, gateway []byte) error {
	// struct rtmsg: family, lengths of destination and source, type of service, table, protocol, scope, type, flags (4).
	m := make([]byte, 12)
	m[0], m[4], m[5] = family(gateway), syscall.RT_TABLE_MAIN, syscall.RTPROT_STATIC
	m[6], m[7] = syscall.RT_SCOPE_UNIVERSE, syscall.RTN_UNICAST
	m = appendAttribute(m, syscall.RTA_GATEWAY, gateway)
	m = appendAttribute(m, syscall.RTA_OIF, number(card))
	return c.request(syscall.RTM_NEWROUTE, createFlags, m)
}

func family(address []byte) byte {
	if len(address) == 4 {
		return syscall.AF_INET
	}
	return syscall.AF_INET6
}

func number(n int) []byte { return binary.NativeEndian.AppendUint32(nil, uint32(n)) }

// appendAttribute adds a struct rtattr and its value, both filled up to four bytes.
func appendAttribute(m []byte, kind uint16, value []byte) []byte {
	m = binary.NativeEndian.AppendUint16(m, uint16(syscall.SizeofRtAttr+len(value)))
	m = binary.NativeEndian.AppendUint16(m, kind)
	m = append(m, value...)
	for len(m)%4 != 0 {
		m = append(m, 0)
	}
	return m
}

// request sends one message and waits for the kernel's verdict.
func (c *Conn) request(kind uint16, flags uint16, body []byte) error {
	c.seq++
	m := binary.NativeEndian.AppendUint32(nil, uint32(syscall.SizeofNlMsghdr+len(body)))
	m = binary.NativeEndian.AppendUint16(m, kind)
	m = binary.NativeEndian.AppendUint16(m, flags)
	m = binary.NativeEndian.AppendUint32(m, c.seq)
	m = binary.NativeEndian.AppendUint32(m, 0)
	m = append(m, body...)
	if err := syscall.Sendto(c.fd, m, 0, &syscall.SockaddrNetlink{Family: syscall.AF_NETLINK}); err != nil {
		return err
	}
	answer := make([]byte, answerBytes)
	for {
		n, _, err := syscall.Recvfrom(c.fd, answer, 0)
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		messages, err := syscall.ParseNetlinkMessage(answer[:n])
		if err != nil {
			return err
		}
		for _, message := range messages {
			if message.Header.Seq != c.seq || message.Header.Type != syscall.NLMSG_ERROR || len(message.Data) < 4 {
				continue
			}
			if code := int32(binary.NativeEndian.Uint32(message.Data)); code != 0 {
				return syscall.Errno(-code)
			}
			return nil
		}
	}
}
