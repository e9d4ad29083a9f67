package main

import (
	"crypto/tls"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math/rand"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
)

// Operations of the raw protocol.
const (
	opDownload = 1
	opUpload   = 2
	opEcho     = 3
)

const (
	// What the server's certificate is for.
	name = "bench.test"
	// The secret that proxies put into requests.
	value = "sk-bench-0123456789ABCDEF0123456789ABCDEF01234567"
)

// noise does not compress.
var noise = func() []byte {
	bytes := make([]byte, chunkBytes)
	rand.New(rand.NewSource(1)).Read(bytes)
	return bytes
}()

// page is the small answer: 1 kB of JSON.
var page = []byte(`{"text":"` + strings.Repeat("0123456789abcdef", 62) + `"}`)

func serve(directory string) error {
	certificate, err := makeCertificates(directory)
	if err != nil {
		return err
	}
	raw, rawPort, err := listen()
	if err != nil {
		return err
	}
	plain, plainPort, err := listen()
	if err != nil {
		return err
	}
	secure, securePort, err := listen()
	if err != nil {
		return err
	}
	dnsPort, err := serveNames()
	if err != nil {
		return err
	}
	go serveRaw(raw)
	// Two servers: one that serves both ways offers HTTP/2 and then does not speak it.
	go (&http.Server{Handler: http.HandlerFunc(answer)}).Serve(plain)
	config := &tls.Config{Certificates: []tls.Certificate{*certificate}}
	go (&http.Server{Handler: http.HandlerFunc(answer), TLSConfig: config}).ServeTLS(secure, "", "")
	ports := map[string]int{"raw": rawPort, "http": plainPort, "https": securePort, "dns": dnsPort}
	if err := json.NewEncoder(os.Stdout).Encode(ports); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

func listen() (net.Listener, int, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, 0, err
	}
	return listener, listener.Addr().(*net.TCPAddr).Port, nil
}

func serveRaw(listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			if err := answerRaw(conn); err != nil {
				fmt.Fprintln(os.Stderr, "peer: raw connection:", err)
			}
		}()
	}
}

func answerRaw(conn net.Conn) error {
	head := make([]byte, 9)
	if _, err := io.ReadFull(conn, head); err != nil {
		return err
	}
	count := int64(binary.BigEndian.Uint64(head[1:]))
	switch head[0] {
	case opDownload:
		return pour(conn, count)
	case opUpload:
		if err := drop(conn, count); err != nil {
			return err
		}
		_, err := conn.Write([]byte{1})
		return err
	case opEcho:
		if _, err := io.CopyN(conn, conn, count); err != nil {
			return err
		}
		// Stays open for as long as the client likes.
		io.Copy(io.Discard, conn)
		return nil
	}
	return fmt.Errorf("there is no operation %d", head[0])
}

func answer(w http.ResponseWriter, r *http.Request) {
	switch {
	case strings.HasPrefix(r.URL.Path, "/bytes/"):
		count, err := strconv.ParseInt(strings.TrimPrefix(r.URL.Path, "/bytes/"), 10, 64)
		if err != nil {
			http.Error(w, err.Error(), 400)
			return
		}
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Content-Length", strconv.FormatInt(count, 10))
		pour(w, count)
	case r.URL.Path == "/sink":
		if err := drop(r.Body, r.ContentLength); err != nil {
			http.Error(w, err.Error(), 400)
			return
		}
		fmt.Fprintf(w, `{"bytes":%d}`, r.ContentLength)
	// A proxy that did not put the value in is found out.
	case r.URL.Path == "/secret":
		if r.Header.Get("Authorization") != "Bearer "+value {
			http.Error(w, "the secret did not arrive", 401)
			return
		}
		sendPage(w)
	default:
		sendPage(w)
	}
}

func sendPage(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(page)))
	w.Write(page)
}
