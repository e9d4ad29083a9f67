package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

// target says where a connection goes and what is asked there.
type target struct {
	// HOST:PORT to dial; the host is looked up by whatever the machine is set up with, unless there is DNS.
	Address string `json:"address"`
	// ADDRESS:PORT of a name server to ask instead of the machine's own.
	DNS string `json:"dns"`
	// HOST:PORT of a proxy that is asked to CONNECT to Address.
	Via string `json:"via"`
	// Server name for TLS and HTTP; the host of Address if it is empty.
	Name string `json:"name"`
	// For HTTP's Host; Name and the port of Address if it is empty.
	Host string `json:"host"`
	// File with certificates to trust besides the machine's own.
	CA      string            `json:"ca"`
	Plain   bool              `json:"plain"`
	Path    string            `json:"path"`
	Headers map[string]string `json:"headers"`
}

type job struct {
	Kind string `json:"kind"`
	target
	Bytes       int64   `json:"bytes"`
	Count       int     `json:"count"`
	Connections int     `json:"connections"`
	Seconds     float64 `json:"seconds"`
	// For latency: the same request on the straight way.
	Direct *target `json:"direct"`
}

// client keeps what outlives one job.
type client struct {
	configs map[string]*tls.Config
	held    []net.Conn
}

const patience = 120 * time.Second

func (c *client) do(j *job) (any, error) {
	switch j.Kind {
	case "ping":
		return map[string]bool{"ok": true}, nil
	case "download":
		return c.rawTransfer(j, opDownload)
	case "upload":
		return c.rawTransfer(j, opUpload)
	case "http-download":
		return c.httpDownload(j)
	case "http-upload":
		return c.httpUpload(j)
	case "connect":
		return c.connectAndGet(j)
	case "hold":
		return c.hold(j)
	case "release":
		return c.release()
	case "load":
		return c.load(j)
	case "latency":
		return c.latency(j)
	}
	return nil, fmt.Errorf("there is no job %q", j.Kind)
}

// connection is an open one with what a reader of HTTP needs.
type connection struct {
	net.Conn
	reader  *bufio.Reader
	request []byte
}

// steps are the moments of opening one.
type steps struct{ start, found, connected, secured time.Time }

func (c *client) open(t *target) (*connection, steps, error) {
	at := steps{start: time.Now()}
	address, err := resolve(t)
	if err != nil {
		return nil, at, err
	}
	at.found = time.Now()
	conn, err := dial(t, address)
	if err != nil {
		return nil, at, err
	}
	at.connected = time.Now()
	if !t.Plain {
		config, err := c.tlsConfig(t)
		if err != nil {
			conn.Close()
			return nil, at, err
		}
		secured := tls.Client(conn, config)
		if err := secured.Handshake(); err != nil {
			conn.Close()
			return nil, at, err
		}
		conn = secured
	}
	at.secured = time.Now()
	return &connection{Conn: conn, reader: bufio.NewReaderSize(conn, 64<<10), request: requestHead(t, "GET", -1)}, at, nil
}

// resolve returns what to dial. Both machines of a comparison look a name up for each connection.
func resolve(t *target) (string, error) {
	host, port, err := net.SplitHostPort(t.Address)
	if err != nil {
		return "", err
	}
	if t.Via != "" || net.ParseIP(host) != nil {
		return t.Address, nil
	}
	resolver := &net.Resolver{PreferGo: true}
	if t.DNS != "" {
		resolver.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, t.DNS)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	addresses, err := resolver.LookupNetIP(ctx, "ip4", host)
	if err != nil {
		return "", err
	}
	return net.JoinHostPort(addresses[0].Unmap().String(), port), nil
}

func dial(t *target, address string) (net.Conn, error) {
	if t.Via == "" {
		return net.DialTimeout("tcp", address, patience)
	}
	conn, err := net.DialTimeout("tcp", t.Via, patience)
	if err != nil {
		return nil, err
	}
	if _, err := fmt.Fprintf(conn, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", address, address); err != nil {
		conn.Close()
		return nil, err
	}
	// The server says nothing before the client does, so the reader takes no byte of what follows.
	response, err := http.ReadResponse(bufio.NewReaderSize(conn, 4096), &http.Request{Method: "CONNECT"})
	if err == nil && response.StatusCode != 200 {
		err = fmt.Errorf("the proxy answered CONNECT with %s", response.Status)
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// tlsConfig is made once for each name: reading the machine's certificates takes long under emulation. There is no
// session cache, so every handshake is a whole one.
func (c *client) tlsConfig(t *target) (*tls.Config, error) {
	key := t.serverName() + " " + t.CA
	if config := c.configs[key]; config != nil {
		return config, nil
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if t.CA != "" {
		pem, err := os.ReadFile(t.CA)
		if err != nil {
			return nil, err
		}
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("no certificate in %s", t.CA)
		}
	}
	if c.configs == nil {
		c.configs = map[string]*tls.Config{}
	}
	config := &tls.Config{ServerName: t.serverName(), RootCAs: pool, NextProtos: []string{"http/1.1"}}
	c.configs[key] = config
	return config, nil
}

func (t *target) serverName() string {
	if t.Name != "" {
		return t.Name
	}
	host, _, _ := net.SplitHostPort(t.Address)
	return host
}

// requestHead is ready to be written; a length below zero means no body.
func requestHead(t *target, method string, length int64) []byte {
	host := t.Host
	if host == "" {
		_, port, _ := net.SplitHostPort(t.Address)
		host = net.JoinHostPort(t.serverName(), port)
	}
	var head strings.Builder
	fmt.Fprintf(&head, "%s %s HTTP/1.1\r\nHost: %s\r\nAccept: */*\r\n", method, t.Path, host)
	for name, value := range t.Headers {
		fmt.Fprintf(&head, "%s: %s\r\n", name, value)
	}
	if length >= 0 {
		fmt.Fprintf(&head, "Content-Length: %d\r\n", length)
	}
	head.WriteString("\r\n")
	return []byte(head.String())
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
