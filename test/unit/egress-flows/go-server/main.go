// A server of HTTPS and of HTTP as Go's standard library makes one, for any name. Its first line names its ports; each
// later one is a server name of a TLS handshake, or the host of a request.
package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"time"
)

func main() {
	certificate, err := selfSigned()
	if err != nil {
		log.Fatal(err)
	}
	secure, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	handler := http.HandlerFunc(func(_ http.ResponseWriter, request *http.Request) {
		fmt.Println("request for", request.Host)
	})
	quiet := log.New(io.Discard, "", 0)
	server := &http.Server{Handler: handler, ErrorLog: quiet, TLSConfig: &tls.Config{
		Certificates: []tls.Certificate{certificate},
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			fmt.Println("handshake for", hello.ServerName)
			return nil, nil
		},
	}}
	go func() { log.Fatal(server.ServeTLS(secure, "", "")) }()
	go func() { log.Fatal((&http.Server{Handler: handler, ErrorLog: quiet}).Serve(plain)) }()
	fmt.Println(secure.Addr().(*net.TCPAddr).Port, plain.Addr().(*net.TCPAddr).Port)
	// Whoever started it ends it, or has ended.
	_, _ = io.Copy(io.Discard, os.Stdin)
}

func selfSigned() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "any.example"},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}
