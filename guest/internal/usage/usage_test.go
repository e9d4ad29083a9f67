package usage

import (
	"os"
	"strings"
	"testing"
	"time"
)

func TestWorkIsAllButIdleWaitingAndStolenTime(t *testing.T) {
	if got := parseBusy([]byte("cpu  1 2 4 1000 2000 8 16 4000 0 0\ncpu0 9 9 9 9\n")); got != 310 {
		t.Fatal(got)
	}
	for _, bad := range []string{"", "cpu", "cpu a b c d e f g h i"} {
		if got := parseBusy([]byte(bad)); got != 0 {
			t.Fatal(bad, got)
		}
	}
}

func TestANameMayHoldSpacesAndParentheses(t *testing.T) {
	rest := " R 1 2 3 0 -1 4194304 1 1 0 0 30 12 0 0 20 0 1 0 777 1000000 25 18446744073709551615 1"
	s, ok := parseStat(7, []byte("7 (a b) c)"+rest))
	if !ok || s.name != "a b) c" || s.ticks != 42 || s.start != "777" || s.state != 'R' || s.rss != 25*int64(os.Getpagesize()) {
		t.Fatalf("%+v %v", s, ok)
	}
	if _, ok := parseStat(7, []byte("7 (kworker)"+strings.Replace(rest, "4194304", "69238880", 1))); ok {
		t.Fatal("a thread of the kernel is none of the user's processes")
	}
	for _, bad := range []string{"", "7 (x", "7 (x) R 1", ")("} {
		if _, ok := parseStat(7, []byte(bad)); ok {
			t.Fatal(bad)
		}
	}
}

func TestTheBusiestComesFirst(t *testing.T) {
	stop := make(chan struct{})
	defer close(stop)
	for range 2 {
		go func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
			}
		}()
	}
	deadline := time.Now().Add(20 * time.Second)
	for {
		found := Busiest(1000)
		if len(found) == 0 || len(found) > MaxProcesses {
			t.Fatal(len(found))
		}
		for i := 1; i < len(found); i++ {
			if found[i].CPUMs > found[i-1].CPUMs {
				t.Fatal("not in order")
			}
		}
		for _, p := range found {
			if p.PID == os.Getpid() && p.CPUMs > 0 && p.UID == os.Getuid() {
				return
			}
		}
		if time.Now().After(deadline) {
			t.Fatal("a process that works is not among the busiest")
		}
	}
}

func TestTheMachineHasADiskAndHasWorked(t *testing.T) {
	m := Measure()
	if m.CPUMs <= 0 || m.DiskTotal <= 0 || m.DiskUsed < 0 || m.DiskUsed > m.DiskTotal {
		t.Fatalf("%+v", m)
	}
}
