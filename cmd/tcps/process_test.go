package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// jobs are the background processes, servers and clients of one script.
type jobs struct {
	byName map[string]*job
	env    []string // what the script began with
}

type jobsKey struct{}

// A job is something in the background that produces output and ends.
type job struct {
	cmd   *exec.Cmd      // nil: it runs in this process
	stdin io.WriteCloser // nil likewise
	ended chan struct{}
	code  int // set before ended is closed

	mu                  sync.Mutex
	all, stdout, stderr bytes.Buffer  // guarded by mu
	changed             chan struct{} // closed at the next output; guarded by mu
}

func newJob() *job {
	return &job{ended: make(chan struct{}), changed: make(chan struct{})}
}

// A stream is one output of a job.
type stream struct {
	job *job
	to  *bytes.Buffer
}

func (s stream) Write(b []byte) (int, error) {
	s.job.mu.Lock()
	defer s.job.mu.Unlock()
	s.to.Write(b)
	s.job.all.Write(b)
	close(s.job.changed)
	s.job.changed = make(chan struct{})
	return len(b), nil
}

func (j *job) output() (string, <-chan struct{}) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.all.String(), j.changed
}

func allJobs(ts *testscript.TestScript) *jobs { return ts.Value(jobsKey{}).(*jobs) }

func jobOf(ts *testscript.TestScript, name string) *job {
	j := allJobs(ts).byName[name]
	if j == nil {
		ts.Fatalf("nothing was started under the name %q", name)
	}
	return j
}

func addJob(ts *testscript.TestScript, name string, j *job) {
	all := allJobs(ts)
	if old := all.byName[name]; old != nil {
		select {
		case <-old.ended:
		default:
			ts.Fatalf("%s is still running", name)
		}
	}
	all.byName[name] = j
}

func usage(ts *testscript.TestScript, neg, good bool, text string) {
	if neg || !good {
		ts.Fatalf("usage: %s", text)
	}
}

func unescape(ts *testscript.TestScript, s string) string {
	text, err := strconv.Unquote(`"` + strings.ReplaceAll(s, `"`, `\"`) + `"`)
	if err != nil {
		ts.Fatalf("text %q: %v", s, err)
	}
	return text
}

// environment is the script's present environment, as far as it has changed
// what it began with; what else a process needs is given to start.
func environment(ts *testscript.TestScript) []string {
	var env []string
	for _, v := range allJobs(ts).env {
		name, _, _ := strings.Cut(v, "=")
		env = append(env, name+"="+ts.Getenv(name))
	}
	return env
}

func cmdStart(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, len(args) >= 2, "start NAME [VARIABLE=VALUE…] PROGRAM ARGUMENT…")
	name, args := args[0], args[1:]
	env := environment(ts)
	for strings.Contains(args[0], "=") {
		env, args = append(env, unescape(ts, args[0])), args[1:]
	}
	cmd := exec.Command(lookPath(ts, args[0]), args[1:]...)
	cmd.Args[0], cmd.Env = args[0], env
	startJob(ts, name, cmd)
}

// startJob runs a command in the background until the script is over.
func startJob(ts *testscript.TestScript, name string, cmd *exec.Cmd) *job {
	j := newJob()
	j.cmd = cmd
	j.cmd.Dir = ts.MkAbs(".")
	j.cmd.Stdout, j.cmd.Stderr = stream{j, &j.stdout}, stream{j, &j.stderr}
	j.cmd.WaitDelay = 2 * time.Second
	var err error
	j.stdin, err = j.cmd.StdinPipe()
	ts.Check(err)
	addJob(ts, name, j)
	ts.Check(j.cmd.Start())
	go func() {
		j.cmd.Wait()
		j.code = j.cmd.ProcessState.ExitCode()
		close(j.ended)
	}()
	ts.Defer(func() {
		j.cmd.Process.Kill() // the process that was started here, if it still runs
		<-j.ended
	})
	return j
}

// lookPath finds a program in the script's PATH, where tcps is this test binary.
func lookPath(ts *testscript.TestScript, program string) string {
	for _, dir := range filepath.SplitList(ts.Getenv("PATH")) {
		path := filepath.Join(dir, program+ts.Getenv("exe"))
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			return path
		}
	}
	ts.Fatalf("no program %q", program)
	return ""
}

func cmdSend(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, len(args) == 2, "send NAME TEXT")
	_, err := io.WriteString(jobOf(ts, args[0]).stdin, unescape(ts, args[1]))
	ts.Check(err)
}

func cmdCloseIn(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, len(args) == 1, "closein NAME")
	if err := jobOf(ts, args[0]).stdin.Close(); !errors.Is(err, os.ErrClosed) { // it is closed once the process has ended
		ts.Check(err)
	}
}

func cmdWaitFor(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, len(args) >= 2, "waitfor NAME REGEXP [VARIABLE…]")
	j, variables := jobOf(ts, args[0]), args[2:]
	pattern, err := regexp.Compile("(?m)" + args[1])
	ts.Check(err)
	late := time.NewTimer(deadline)
	defer late.Stop()
	for over := false; ; {
		output, changed := j.output()
		if groups := pattern.FindStringSubmatch(output); groups != nil {
			if len(groups)-1 < len(variables) {
				ts.Fatalf("the pattern has %d groups for %d variables", len(groups)-1, len(variables))
			}
			for i, v := range variables {
				ts.Setenv(v, groups[i+1])
			}
			return
		}
		if over {
			ts.Fatalf("%s ended with status %d, and nothing matched %q:\n%s", args[0], j.code, args[1], output)
		}
		select {
		case <-changed:
		case <-j.ended:
			over = true
		case <-late.C:
			ts.Fatalf("nothing from %s matched %q in %v:\n%s", args[0], args[1], deadline, output)
		}
	}
}

func cmdSignal(ts *testscript.TestScript, neg bool, args []string) {
	signals := map[string]os.Signal{"INT": os.Interrupt, "TERM": syscall.SIGTERM, "HUP": syscall.SIGHUP, "KILL": os.Kill}
	usage(ts, neg, len(args) == 2 && signals[args[1]] != nil, "signal NAME INT|TERM|HUP|KILL")
	ts.Check(jobOf(ts, args[0]).cmd.Process.Signal(signals[args[1]]))
}

func cmdInterrupt(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, len(args) == 1, "interrupt NAME")
	j := jobOf(ts, args[0])
	again, late := time.NewTicker(50*time.Millisecond), time.NewTimer(deadline)
	defer again.Stop()
	defer late.Stop()
	for {
		j.cmd.Process.Signal(os.Interrupt) // it may have ended
		select {
		case <-again.C:
		case <-j.ended:
			return
		case <-late.C:
			ts.Fatalf("%s has not ended in %v", args[0], deadline)
		}
	}
}

func cmdExpectExit(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, len(args) == 2, "expectexit NAME CODE")
	j := jobOf(ts, args[0])
	select {
	case <-j.ended:
	case <-time.After(deadline):
		output, _ := j.output()
		ts.Fatalf("%s has not ended in %v:\n%s", args[0], deadline, output)
	}
	io.WriteString(ts.Stdout(), j.stdout.String())
	io.WriteString(ts.Stderr(), j.stderr.String())
	if strconv.Itoa(j.code) != args[1] {
		ts.Fatalf("%s ended with status %d, want %s", args[0], j.code, args[1])
	}
}

// execute runs a program to its end and checks its exit status.
func execute(ts *testscript.TestScript, code string, args []string) {
	err := ts.Exec(args[0], args[1:]...)
	got := 0
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if strconv.Itoa(got) != code {
		ts.Fatalf("exit status %d, want %s", got, code)
	}
}

func cmdExits(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, len(args) >= 2, "exits CODE PROGRAM ARGUMENT…")
	execute(ts, args[0], args[1:])
}

// cmdFails checks the form of a mistake that is shown: one error, then hints,
// four lines at most, and nothing on standard output.
func cmdFails(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, len(args) >= 3, "fails CODE REGEXP PROGRAM ARGUMENT…")
	pattern, err := regexp.Compile(args[1])
	ts.Check(err)
	execute(ts, args[0], args[2:])
	if out := ts.ReadFile("stdout"); out != "" {
		ts.Fatalf("standard output after a failure: %q", out)
	}
	lines := strings.Split(strings.TrimSuffix(ts.ReadFile("stderr"), "\n"), "\n")
	for i, line := range lines {
		want := "tcps: hint: "
		if i == 0 {
			want = "tcps: error: "
		}
		if !strings.HasPrefix(line, want) || strings.TrimPrefix(line, want) == "" {
			ts.Fatalf("line %d is %q, want one that begins with %q", i+1, line, want)
		}
	}
	if len(lines) > 4 {
		ts.Fatalf("%d lines, want 4 at most", len(lines))
	}
	if !pattern.MatchString(lines[0]) {
		ts.Fatalf("the error %q does not match %q", lines[0], args[1])
	}
}

func cmdMode(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, len(args) == 2, "mode FILE 0600")
	info, err := os.Stat(ts.MkAbs(args[0]))
	ts.Check(err)
	want, err := strconv.ParseUint(args[1], 8, 32)
	ts.Check(err)
	if got := info.Mode().Perm(); got != os.FileMode(want) {
		ts.Fatalf("%s has mode %04o, want %s", args[0], got, args[1])
	}
}

func cmdExactly(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, len(args) == 2, "exactly NAME|stdout|FILE TEXT")
	var got string
	if j := allJobs(ts).byName[args[0]]; j != nil {
		j.mu.Lock()
		got = j.stdout.String()
		j.mu.Unlock()
	} else {
		got = ts.ReadFile(args[0])
	}
	if want := unescape(ts, args[1]); got != want {
		ts.Fatalf("%s is %q, want %q", args[0], got, want)
	}
}

func cmdJSONLines(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, len(args) == 1, "jsonlines FILE")
	text := ts.ReadFile(args[0])
	if text == "" || !strings.HasSuffix(text, "\n") {
		ts.Fatalf("%s does not end in a whole line: %q", args[0], text)
	}
	for _, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		var object map[string]any
		if err := json.Unmarshal([]byte(line), &object); err != nil {
			ts.Fatalf("%q is not a JSON object: %v", line, err)
		}
	}
}

func cmdAtMost(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, len(args) == 2, "atmost LINES FILE")
	most, err := strconv.Atoi(args[0])
	ts.Check(err)
	if n := strings.Count(ts.ReadFile(args[1]), "\n"); n > most {
		ts.Fatalf("%s has %d lines, want %d at most", args[1], n, most)
	}
}

// cmdAfterwards is for what a script changes outside of its folder.
func cmdAfterwards(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, len(args) >= 1, "afterwards PROGRAM ARGUMENT…")
	cmd := exec.Command(lookPath(ts, args[0]), args[1:]...)
	cmd.Dir, cmd.Env = ts.MkAbs("."), environment(ts)
	ts.Defer(func() {
		if out, err := cmd.CombinedOutput(); err != nil {
			ts.Logf("afterwards %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	})
}
