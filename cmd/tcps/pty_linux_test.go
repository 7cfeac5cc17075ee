package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

// openTerminalPair opens a terminal, and the end on which a person would sit.
func openTerminalPair() (person, terminal *os.File, err error) {
	person, err = os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, nil, err
	}
	if err := unix.IoctlSetPointerInt(int(person.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		person.Close()
		return nil, nil, err
	}
	number, err := unix.IoctlGetInt(int(person.Fd()), unix.TIOCGPTN)
	if err == nil {
		terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		person.Close()
		return nil, nil, err
	}
	return person, terminal, nil
}

// cmdTerminal starts a program that a person uses.
func cmdTerminal(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, len(args) >= 2, "terminal NAME PROGRAM ARGUMENT…")
	person, terminal, err := openTerminalPair()
	ts.Check(err)
	j := newJob()
	j.cmd = exec.Command(lookPath(ts, args[1]), args[2:]...)
	j.cmd.Args[0], j.cmd.Dir, j.cmd.Env = args[1], ts.MkAbs("."), environment(ts)
	j.cmd.Stdin, j.cmd.Stdout, j.cmd.Stderr = terminal, terminal, terminal
	j.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	j.stdin = person
	addJob(ts, args[0], j)
	ts.Check(j.cmd.Start())
	terminal.Close()
	seen := make(chan struct{})
	go func() {
		io.Copy(stream{j, &j.stdout}, person) // to the error that says that nobody has the terminal open
		close(seen)
	}()
	go func() {
		j.cmd.Wait()
		<-seen
		j.code = j.cmd.ProcessState.ExitCode()
		close(j.ended)
	}()
	ts.Defer(func() {
		j.cmd.Process.Kill() // the process that was started here, if it still runs
		<-j.ended
		person.Close()
	})
}
