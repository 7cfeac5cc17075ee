package main

import (
	"fmt"
	"os"
	"strconv"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

// cmdRlimit takes something away from a process that runs, or gives it back.
func cmdRlimit(ts *testscript.TestScript, neg bool, args []string) {
	resources := map[string]int{"nofile": unix.RLIMIT_NOFILE, "fsize": unix.RLIMIT_FSIZE, "nproc": unix.RLIMIT_NPROC}
	usage(ts, neg, len(args) == 3, "rlimit NAME nofile|fsize|nproc NUMBER|max")
	resource, ok := resources[args[1]]
	usage(ts, neg, ok, "rlimit NAME nofile|fsize|nproc NUMBER|max")
	pid := jobOf(ts, args[0]).cmd.Process.Pid
	var limit unix.Rlimit
	ts.Check(unix.Prlimit(pid, resource, nil, &limit))
	if args[2] == "max" {
		limit.Cur = limit.Max
	} else {
		n, err := strconv.ParseUint(args[2], 10, 32)
		ts.Check(err)
		if args[1] == "nofile" {
			n = firstFree(ts, pid, n)
		}
		limit.Cur = n
	}
	ts.Check(unix.Prlimit(pid, resource, &limit, nil))
}

// firstFree is the limit of descriptors that leaves a process so many more than
// it has: who comes gets the lowest number that is free.
func firstFree(ts *testscript.TestScript, pid int, more uint64) uint64 {
	open := map[string]bool{}
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	ts.Check(err)
	for _, e := range entries {
		open[e.Name()] = true
	}
	limit := uint64(0)
	for free := uint64(0); free < more || open[fmt.Sprint(limit)]; limit++ {
		if !open[fmt.Sprint(limit)] {
			free++
		}
	}
	return limit
}
