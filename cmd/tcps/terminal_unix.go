//go:build !windows

package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// resumeSignals tell that the process goes on after it was stopped.
var resumeSignals = []os.Signal{unix.SIGCONT}

// inForeground tells whether the terminal is ours to ask on. A process in the
// background that tries is stopped by the system, and with it all that it serves.
func inForeground(tty *os.File) bool {
	group, err := unix.IoctlGetInt(int(tty.Fd()), unix.TIOCGPGRP)
	return err == nil && group == unix.Getpgrp()
}

// enableSequences: terminals understand them here.
func enableSequences(*os.File) (withdraw func(), err error) { return func() {}, nil }
