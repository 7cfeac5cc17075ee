//go:build !windows

package service

import (
	"os"
	"os/exec"
	"syscall"
)

// ownGroup makes a process the first of a group of its own, so that what it
// starts can be ended with it. (Pdeathsig would end it with a server that was
// killed, but also with the thread that started it, which is Go's to end.)
func ownGroup(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

// terminate asks the group to end.
func terminate(p *os.Process) error { return syscall.Kill(-p.Pid, syscall.SIGTERM) }

// killGroup ends the group.
func killGroup(p *os.Process) { syscall.Kill(-p.Pid, syscall.SIGKILL) }
