//go:build !linux

package main

import "github.com/rogpeppe/go-internal/testscript"

// cmdRlimit is for scripts that begin with [!linux] skip.
func cmdRlimit(ts *testscript.TestScript, _ bool, _ []string) {
	ts.Fatalf("only Linux changes the limits of a process that runs")
}
