package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/urfave/cli/v2"

	"tcps/tlsserver"
	"tcps/tlsserver/service"
)

func execFlags() []cli.Flag {
	return []cli.Flag{countFlag("Limits", "max-processes", 256, "`NUMBER` of programs that exec runs at the same time; one connection more is closed (off: 8,000)")}
}

// execGrace is the time between SIGTERM and SIGKILL.
const execGrace = 5 * time.Second

// execHandler finds the program now: a mistake is told at once, not to each
// client.
func (p *program) execHandler(c *cli.Context, args []string) (tlsserver.Handler, error) {
	if len(args) == 0 {
		return nil, misuse("name it: tcps serve exec -- CMD ARG…", "tcps serve exec needs a program to run")
	}
	path, err := findProgram(args[0])
	if err != nil {
		return nil, err
	}
	stderr, _ := p.err.(*os.File)
	return &service.Exec{
		Path:         path,
		Args:         args,
		Env:          os.Environ(),
		Stderr:       stderr,
		MaxProcesses: countOf(c, "max-processes"),
		Grace:        execGrace,
	}, nil
}

// findProgram is the absolute path of a program, which is looked for in PATH
// unless its name has a slash.
func findProgram(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err == nil {
		path, err = filepath.Abs(path)
	}
	if err == nil {
		return path, nil
	}
	if found, ok := errors.AsType[*exec.Error](err); ok {
		err = found.Err
	}
	err = fmt.Errorf("find program %q: %w", name, err)
	switch {
	case errors.Is(err, exec.ErrDot):
		return "", failure(err, "to run the one in this folder say ./"+name)
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, fs.ErrNotExist):
		return "", failure(err, "check the spelling, or give its path; a line for the shell is: exec -- sh -c 'LINE'")
	case errors.Is(err, fs.ErrPermission):
		return "", failure(err, "it must be a file that this user may execute")
	}
	return "", failure(err)
}
