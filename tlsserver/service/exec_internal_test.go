package service

import "testing"

// Go ends a program that has 10,000 threads, and each process takes one.
func TestNoNumberOfProcessesEndsTheServer(t *testing.T) {
	for _, n := range []int{-1, 1 << 30} {
		if e := (&Exec{MaxProcesses: n}); e.maxProcesses() > 9_000 {
			t.Errorf("MaxProcesses %d allows %d", n, e.maxProcesses())
		}
	}
}
