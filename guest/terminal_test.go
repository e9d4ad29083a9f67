package main

import (
	"fmt"
	"testing"

	"sbx.dev/agent/internal/testhost"
)

func TestOfManySizesOfATerminalTheLastOneStays(t *testing.T) {
	h := startAgent(t)
	in, out := h.Writable(), h.Readable()
	params := testhost.Exec("sh", "-c", `stty -echo; echo ready; while read x; do [ "$(stty size)" = "$x" ] || exit; echo "$x."; done`)
	params["pty"], params["stdin"], params["stdout"] = testhost.Params{"cols": 80, "rows": 24}, in.ID, out.ID
	pid := start(t, h, params)
	expect := expecter(t, out)
	expect("ready")
	for round := range 30 {
		var calls []uint32
		for rows := range 40 {
			id, err := h.Start("resize", testhost.Params{"pid": pid, "cols": 100 + round, "rows": 1 + rows})
			must(t, err)
			calls = append(calls, id)
		}
		for _, id := range calls {
			must(t, h.Result(id, nil))
		}
		_, err := fmt.Fprintf(in, "40 %d\n", 100+round)
		must(t, err)
		expect(fmt.Sprintf("40 %d.", 100+round))
	}
}
