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

const execCategory = "The service exec"

// execGrace is the time between SIGTERM and SIGKILL.
const execGrace = 5 * time.Second

// execFlags are those of serve exec.
func execFlags() []cli.Flag {
	return []cli.Flag{
		countFlag(execCategory, "max-processes", 256, "`NUMBER` of programs that may run at once; one connection more is closed (off: 8,000)"),
	}
}

// execHandler looks for the program once, so that a mistake shows at the start.
func (p *program) execHandler(c *cli.Context, args []string) (tlsserver.Handler, error) {
	if len(args) == 0 {
		return nil, misuse("for instance: tcps serve exec -- cat", "tcps serve exec needs a program")
	}
	path, err := exec.LookPath(args[0])
	if err == nil {
		path, err = filepath.Abs(path)
	}
	if err != nil {
		return nil, noProgram(args[0], err)
	}
	handler := &service.Exec{Path: path, Args: args, Env: os.Environ(), MaxProcesses: countOf(c, "max-processes"), Grace: execGrace}
	if file, ok := p.err.(*os.File); ok {
		handler.Stderr = file
	}
	return handler, nil
}

func noProgram(name string, err error) error {
	if failed, ok := errors.AsType[*exec.Error](err); ok {
		err = failed.Err
	}
	hint := "is it a program that this user may run?"
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		hint = "name a program of the PATH, or write its path: exec -- ./report"
	}
	return failure(fmt.Errorf("find program %q: %w", name, err), hint)
}
