package main

import (
	"encoding/binary"
	"errors"
	"net"
)

// hostAddress is the host as a guest on QEMU's user network sees it.
var hostAddress = [4]byte{10, 0, 2, 2}

const (
	typeA        = 1
	headerBytes  = 12
	responseBits = 0x8180 // an answer, recursion desired and available (RFC 1035, 4.1.1)
)

// serveNames answers every question for an address with the host's.
func serveNames() (int, error) {
	socket, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return 0, err
	}
	go func() {
		buffer := make([]byte, 1500)
		for {
			n, from, err := socket.ReadFromUDP(buffer)
			if err != nil {
				return
			}
			if reply, err := replyTo(buffer[:n]); err == nil {
				socket.WriteToUDP(reply, from)
			}
		}
	}()
	return socket.LocalAddr().(*net.UDPAddr).Port, nil
}

func replyTo(query []byte) ([]byte, error) {
	end := headerBytes
	for {
		if end >= len(query) {
			return nil, errors.New("a question without an end")
		}
		length := int(query[end])
		end += 1 + length
		if length == 0 {
			break
		}
	}
	if end+4 > len(query) {
		return nil, errors.New("a question without a type")
	}
	isA := binary.BigEndian.Uint16(query[end:]) == typeA
	reply := append([]byte{}, query[:end+4]...)
	binary.BigEndian.PutUint16(reply[2:], responseBits)
	binary.BigEndian.PutUint16(reply[4:], 1)
	binary.BigEndian.PutUint16(reply[6:], 0)
	binary.BigEndian.PutUint32(reply[8:], 0)
	if isA {
		reply[7] = 1
		// The question's name by a pointer, A, IN, 60 s, four bytes.
		reply = append(reply, 0xc0, headerBytes, 0, typeA, 0, 1, 0, 0, 0, 60, 0, 4)
		reply = append(reply, hostAddress[:]...)
	}
	return reply, nil
}
