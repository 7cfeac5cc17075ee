//go:build !windows

package main

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
)

// withoutTerminal is a program for scripts that runs another one in a session
// of its own, so that it cannot ask on the terminal from which tests were started.
func withoutTerminal() {
	path, err := exec.LookPath(os.Args[1])
	if err == nil {
		if _, err = syscall.Setsid(); err == nil {
			err = syscall.Exec(path, os.Args[1:], os.Environ())
		}
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
