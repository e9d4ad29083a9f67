package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"time"
)

// connectAndGet looks a name up, connects, shakes hands, gets one small page and closes.
func (c *client) connectAndGet(j *job) (any, error) {
	conn, at, err := c.open(&j.target)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if err := conn.get(); err != nil {
		return nil, err
	}
	end := time.Now()
	return map[string]float64{
		"ms":      milliseconds(end.Sub(at.start)),
		"lookup":  milliseconds(at.found.Sub(at.start)),
		"connect": milliseconds(at.connected.Sub(at.found)),
		"tls":     milliseconds(at.secured.Sub(at.connected)),
		"get":     milliseconds(end.Sub(at.secured)),
	}, nil
}

// get sends the connection's request and reads the whole answer.
func (c *connection) get() error {
	if _, err := c.Write(c.request); err != nil {
		return err
	}
	response, err := c.response()
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, response.Body)
	return err
}

// hold opens connections, exchanges a few bytes on each and keeps them.
func (c *client) hold(j *job) (any, error) {
	j.Plain = true
	start := time.Now()
	for len(c.held) < j.Count {
		conn, _, err := c.open(&j.target)
		if err != nil {
			return nil, fmt.Errorf("connection %d: %w", len(c.held)+1, err)
		}
		c.held = append(c.held, conn.Conn)
		if err := exchange(conn); err != nil {
			return nil, fmt.Errorf("connection %d: %w", len(c.held), err)
		}
	}
	return map[string]float64{"ms": milliseconds(time.Since(start)), "held": float64(len(c.held))}, nil
}

func exchange(conn net.Conn) error {
	const count = 64
	if _, err := conn.Write(binary.BigEndian.AppendUint64([]byte{opEcho}, count)); err != nil {
		return err
	}
	if err := pour(conn, count); err != nil {
		return err
	}
	return drop(conn, count)
}

func (c *client) release() (any, error) {
	for _, conn := range c.held {
		conn.Close()
	}
	c.held = nil
	return map[string]bool{"ok": true}, nil
}
