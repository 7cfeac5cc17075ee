package service

import (
	"os"
	"os/exec"
)

// Windows has no process groups of this kind: the program alone is ended.

func ownGroup(*exec.Cmd) {}

func terminate(p *os.Process) { p.Kill() }

func kill(p *os.Process) { p.Kill() }

func groupLeft(*os.Process) bool { return false }
