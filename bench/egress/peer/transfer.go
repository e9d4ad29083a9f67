package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"time"
)

const chunkBytes = 256 << 10

type transferred struct {
	Ms    float64 `json:"ms"`
	Bytes int64   `json:"bytes"`
}

// rawTransfer moves bytes over a bare TCP connection: an operation and a count, then the bytes, and for an upload one
// byte that says that all have arrived. The time is from the request to the last byte, without opening the connection.
func (c *client) rawTransfer(j *job, operation byte) (any, error) {
	j.Plain = true
	conn, _, err := c.open(&j.target)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	start := time.Now()
	head := binary.BigEndian.AppendUint64([]byte{operation}, uint64(j.Bytes))
	if _, err := conn.Write(head); err != nil {
		return nil, err
	}
	if operation == opDownload {
		if err := drop(conn, j.Bytes); err != nil {
			return nil, err
		}
	} else {
		if err := pour(conn, j.Bytes); err != nil {
			return nil, err
		}
		if err := drop(conn, 1); err != nil {
			return nil, err
		}
	}
	return transferred{milliseconds(time.Since(start)), j.Bytes}, nil
}

func (c *client) httpDownload(j *job) (any, error) {
	j.Path = fmt.Sprintf("/bytes/%d", j.Bytes)
	conn, _, err := c.open(&j.target)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	start := time.Now()
	if _, err := conn.Write(conn.request); err != nil {
		return nil, err
	}
	response, err := conn.response()
	if err != nil {
		return nil, err
	}
	if err := drop(response.Body, j.Bytes); err != nil {
		return nil, err
	}
	return transferred{milliseconds(time.Since(start)), j.Bytes}, nil
}

func (c *client) httpUpload(j *job) (any, error) {
	j.Path = "/sink"
	conn, _, err := c.open(&j.target)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	start := time.Now()
	if _, err := conn.Write(requestHead(&j.target, "POST", j.Bytes)); err != nil {
		return nil, err
	}
	if err := pour(conn, j.Bytes); err != nil {
		return nil, err
	}
	response, err := conn.response()
	if err != nil {
		return nil, err
	}
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return nil, err
	}
	return transferred{milliseconds(time.Since(start)), j.Bytes}, nil
}

// response reads one up to its body and refuses any that is not 200.
func (c *connection) response() (*http.Response, error) {
	response, err := http.ReadResponse(c.reader, nil)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != 200 {
		words, _ := io.ReadAll(io.LimitReader(response.Body, 500))
		return nil, fmt.Errorf("%s: %s", response.Status, words)
	}
	return response, nil
}

func drop(from io.Reader, count int64) error {
	buffer := make([]byte, chunkBytes)
	for count > 0 {
		n, err := from.Read(buffer[:min(count, chunkBytes)])
		count -= int64(n)
		if err != nil && count > 0 {
			return fmt.Errorf("%d bytes did not arrive: %w", count, err)
		}
	}
	return nil
}

func pour(to io.Writer, count int64) error {
	for count > 0 {
		n, err := to.Write(noise[:min(count, chunkBytes)])
		if err != nil {
			return err
		}
		count -= int64(n)
	}
	return nil
}
