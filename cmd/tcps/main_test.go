package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/goleak"
)

// The scripts in testdata/script run the command as its users do: each is one
// promise, with the processes, sockets and files that it is about. What they
// may say beyond testscript's own commands:
//
//	exits CODE PROGRAM ARGUMENT…        runs it to its end, checks the exit status
//	fails CODE REGEXP PROGRAM ARGUMENT… the same for tcps, and it says one sentence that matches, hints, no data
//	start NAME [VARIABLE=VALUE…] PROGRAM ARGUMENT…
//	                                    a process in the background, its input held open (values with Go's escapes)
//	terminal NAME PROGRAM ARGUMENT…     the same on a terminal of its own, which send types on (pty_linux_test.go)
//	send NAME TEXT, closein NAME        writes to its input (with Go's escapes), ends it
//	waitfor NAME REGEXP [VARIABLE…]     waits until its output matches, sets variables to the groups
//	signal NAME INT|TERM|HUP|KILL       sends it a signal
//	interrupt NAME                      sends it SIGINT until it ends: two that come at once are one
//	rlimit NAME nofile|fsize|nproc NUMBER|max
//	                                    sets a limit of a process that runs (Linux); of nofile, how many more it may open
//	expectexit NAME CODE                waits for its end; stdout and stderr are its then
//	peer NAME STEP…                     a server of the test's own on 127.0.0.1; $NAME is its port
//	caller NAME PORT STEP…              a client of the test's own; the steps are in peer_test.go
//	relay NAME PORT [held]              forwards connections to PORT; $NAME is its own; held: once something was sent to NAME
//	freeport VARIABLE…                  ports that nobody is given by chance, for servers of the script
//	challdns, pebble, rfc2136, responder, renewnow
//	                                    an ACME authority and what goes with it (acme_test.go, acme_dns_test.go, acme_responder_test.go)
//	web NAME FOLDER                     an HTTP server of the folder's files; $NAME is its port
//	closeweb NAME                       ends it
//	closedport VARIABLE                 a port on which nobody listens, and nobody will
//	mode FILE 0600                      checks permissions
//	exactly NAME|stdout|FILE TEXT       checks the whole of a content, with Go's escapes
//	jsonlines FILE                      checks that each line is one JSON object
//	atmost LINES FILE                   checks the number of lines
//	withoutterminal PROGRAM ARGUMENT…   a program: runs another one that has no terminal to ask on
//	afterwards PROGRAM ARGUMENT…        runs it when the script is over, however that ends
//	docstart, docrun, docfile           commands of the pages in docs/ (docs_run_test.go)
//	[ipv6] COMMAND…                     only where the machine has ::1
//	[root] COMMAND…                     only where the tests are root's
//
// Waiting is for events; deadline bounds it where a program is at fault.
const deadline = 45 * time.Second

// leakChecked looks for goroutines that the tests have left behind.
type leakChecked struct{ m *testing.M }

func (l leakChecked) Run() int {
	code := l.m.Run()
	removeACMETools()
	if code != 0 {
		return code
	}
	if err := goleak.Find(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func TestMain(m *testing.M) {
	testscript.Main(leakChecked{m}, map[string]func(){"tcps": tcpsMain, "withoutterminal": withoutTerminal})
}

func TestScript(t *testing.T) { runScripts(t, "script") }

// runScripts runs the scripts of a folder of testdata.
func runScripts(t *testing.T, folder string) {
	testscript.Run(t, testscript.Params{
		Dir:      filepath.Join("testdata", folder),
		Setup:    setup,
		Deadline: scriptDeadline(t),
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": cmdExits, "fails": cmdFails,
			"start": cmdStart, "terminal": cmdTerminal, "send": cmdSend, "closein": cmdCloseIn, "waitfor": cmdWaitFor,
			"signal": cmdSignal, "interrupt": cmdInterrupt, "rlimit": cmdRlimit, "expectexit": cmdExpectExit,
			"web": cmdWeb, "closeweb": cmdCloseWeb,
			"peer": cmdPeer, "caller": cmdCaller, "closedport": cmdClosedPort,
			"freeport": cmdFreePort, "challdns": cmdChallDNS, "pebble": cmdPebble, "rfc2136": cmdRFC2136,
			"responder": cmdResponder, "renewnow": cmdRenewNow, "relay": cmdRelay,
			"mode": cmdMode, "exactly": cmdExactly, "jsonlines": cmdJSONLines, "atmost": cmdAtMost,
			"afterwards": cmdAfterwards, "docstart": cmdDocStart, "docrun": cmdDocRun, "docfile": cmdDocFile,
		},
		Condition: func(name string) (bool, error) {
			switch name {
			case "ipv6":
				return hasIPv6(), nil
			case "root":
				return os.Geteuid() == 0, nil
			}
			return false, fmt.Errorf("unknown condition %q", name)
		},
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
	})
}

// hasIPv6 reports whether this machine has ::1.
func hasIPv6() bool {
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		return false
	}
	l.Close()
	return true
}

// scriptDeadline makes a script that hangs say where, before go test kills all.
func scriptDeadline(t *testing.T) time.Time {
	limit := time.Now().Add(12 * time.Minute) // for all of them: most wait for a peer or an authority
	if d, ok := t.Deadline(); ok && d.Before(limit) {
		return d
	}
	return limit
}

// setup gives each script a state folder of its own, and a clean environment.
func setup(e *testscript.Env) error {
	state := filepath.Join(e.WorkDir, "state")
	for _, v := range e.Vars {
		if strings.HasPrefix(v, "TCPS_") {
			return fmt.Errorf("unexpected %s", v)
		}
	}
	e.Setenv("GORACE", "atexit_sleep_ms=0") // else each process of a race build ends a second late
	e.Setenv("XDG_DATA_HOME", state)
	scripts, err := filepath.Abs(filepath.Join("..", "..", "scripts"))
	if err != nil {
		return err
	}
	e.Setenv("SCRIPTS", scripts)
	e.Setenv("AUTHORITY", filepath.Join(state, "tcps", "authority"))
	e.Setenv("ROOT", filepath.Join(state, "tcps", "authority", "root.pem"))
	e.Setenv("LOCAL", "tcps://127.0.0.1:0")
	e.Setenv("SERVING", `endpoint=[a-z]+://(?:127\.0\.0\.1|\[::1\]):(\d+)`)
	e.Values[websKey{}] = make(webs)
	e.Values[jobsKey{}] = &jobs{byName: make(map[string]*job), env: e.Vars}
	return os.MkdirAll(filepath.Join(e.WorkDir, ".tmp"), 0o700)
}
