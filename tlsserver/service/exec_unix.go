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
func terminate(p *os.Process) { signalGroup(p, syscall.SIGTERM) }

// kill ends the group.
func kill(p *os.Process) { signalGroup(p, syscall.SIGKILL) }

// signalGroup also finds a program that has gone into another group.
func signalGroup(p *os.Process, signal syscall.Signal) {
	if syscall.Kill(-p.Pid, signal) == syscall.ESRCH {
		p.Signal(signal)
	}
}

// groupLeft reports whether the group of a process that was waited for has
// others left in it. As long as it has, its number is not given away. Orphans
// are ours to wait for where we are process 1.
func groupLeft(p *os.Process) bool {
	for {
		if pid, err := syscall.Wait4(-p.Pid, nil, syscall.WNOHANG, nil); pid <= 0 && err != syscall.EINTR {
			break
		}
	}
	return syscall.Kill(-p.Pid, 0) != syscall.ESRCH
}
