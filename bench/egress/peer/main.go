// Peer is both ends of the network benchmarks: a server on the host, and a client that runs in a guest or on the host.
//
//	peer serve DIRECTORY   serves until standard input ends; says its ports in one line of JSON
//	peer client            does the jobs that come as lines of JSON on standard input, one line of result for each
//
// The client stays one process for all rounds, so that the start of a process is in no figure, and takes the time
// itself, so that nothing of how it is told what to do is in one either.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "peer:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) == 2 && args[0] == "serve":
		return serve(args[1])
	case len(args) == 1 && args[0] == "client":
		return clientLoop()
	}
	return fmt.Errorf("usage: peer serve DIRECTORY | peer client")
}

func clientLoop() error {
	c := &client{}
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(make([]byte, 64<<10), 1<<20)
	results := json.NewEncoder(os.Stdout)
	for lines.Scan() {
		var j job
		if err := json.Unmarshal(lines.Bytes(), &j); err != nil {
			return err
		}
		answer, err := c.do(&j)
		if err != nil {
			answer = map[string]string{"error": err.Error()}
		}
		if err := results.Encode(answer); err != nil {
			return err
		}
	}
	return lines.Err()
}
