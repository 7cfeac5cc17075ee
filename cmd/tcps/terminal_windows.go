package main

import (
	"os"

	"golang.org/x/sys/windows"
)

// resumeSignals: there are none.
var resumeSignals []os.Signal

func inForeground(*os.File) bool { return true }

// enableSequences has the console understand the sequences that move its cursor.
func enableSequences(console *os.File) (withdraw func(), err error) {
	handle := windows.Handle(console.Fd())
	var mode uint32
	if err := windows.GetConsoleMode(handle, &mode); err != nil {
		return nil, err
	}
	if err := windows.SetConsoleMode(handle, mode|windows.ENABLE_VIRTUAL_TERMINAL_PROCESSING); err != nil {
		return nil, err
	}
	return func() { windows.SetConsoleMode(handle, mode) }, nil
}
