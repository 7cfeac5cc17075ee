package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// An installed is a tcps of its own file, so that it can be replaced, with
// certificate files and without a state folder.
type installed struct {
	program, cert, key string
	roots              *x509.CertPool
}

func install(t *testing.T) installed {
	t.Helper()
	dir := t.TempDir()
	i := installed{program: filepath.Join(dir, "tcps"), cert: filepath.Join(dir, "localhost.pem"), key: filepath.Join(dir, "localhost.key"), roots: x509.NewCertPool()}
	i.restore(t)
	issue := exec.Command("tcps", "certs", "issue", "--state", dir, "--out", dir, "localhost")
	if out, err := issue.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	pem, err := os.ReadFile(filepath.Join(dir, "authority", "root.pem"))
	if err != nil || !i.roots.AppendCertsFromPEM(pem) {
		t.Fatalf("the root: %v", err)
	}
	return i
}

// restore puts tcps in the program's place.
func (i installed) restore(t *testing.T) {
	t.Helper()
	original, err := exec.LookPath("tcps")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(original)
	if err != nil {
		t.Fatal(err)
	}
	i.replace(t, text)
}

// replace puts another file in the program's place, as a package manager does.
func (i installed) replace(t *testing.T, text []byte) {
	t.Helper()
	next := i.program + ".new"
	if err := os.WriteFile(next, text, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, i.program); err != nil {
		t.Fatal(err)
	}
}

func (i installed) config(cache tls.ClientSessionCache) *tls.Config {
	return &tls.Config{RootCAs: i.roots, ServerName: "localhost", ClientSessionCache: cache}
}

// A dynasty is a tcps and those that take its place, which share a log.
type dynasty struct {
	*job
	first  int      // its number, and that of the group of all
	exited chan int // the first one's exit status
	last   *os.Process
	seen   int    // of the log
	port   string // that is served
}

// serve starts the first one.
func (i installed) serve(t *testing.T, args ...string) *dynasty {
	t.Helper()
	d := i.start(t, append([]string{"serve", "--listen", "tcps://127.0.0.1:0", "--cert", i.cert, "--key", i.key}, args...)...)
	d.port = d.waitFor(t, servingLine)
	return d
}

func (i installed) start(t *testing.T, args ...string) *dynasty {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	d := &dynasty{job: newJob(), exited: make(chan int, 1)}
	cmd := exec.Command(i.program, args...)
	cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0", "XDG_DATA_HOME="+t.TempDir(), "STATE_DIRECTORY=")
	cmd.Stderr = w
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	d.first, d.last = cmd.Process.Pid, cmd.Process
	go func() {
		cmd.Wait()
		d.exited <- cmd.ProcessState.ExitCode()
	}()
	go func() { // ends when all of them have
		io.Copy(stream{d.job, &d.job.stderr}, r)
		r.Close()
		close(d.job.ended)
	}()
	t.Cleanup(func() {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // those that were started here, if they still run
		<-d.job.ended
	})
	return d
}

// waitFor waits until the log goes on with something that matches, and returns
// its last group.
func (d *dynasty) waitFor(t *testing.T, pattern string) string {
	t.Helper()
	match, late := regexp.MustCompile("(?m)"+pattern), time.After(deadline)
	for over := false; ; {
		text, changed := d.output()
		if groups := match.FindStringSubmatchIndex(text[d.seen:]); groups != nil {
			found := text[d.seen+groups[len(groups)-2] : d.seen+groups[len(groups)-1]]
			d.seen += groups[1]
			return found
		}
		if over {
			t.Fatalf("all have ended, and nothing matched %q:\n%s", pattern, text[d.seen:])
		}
		select {
		case <-changed:
		case <-d.ended:
			over = true
		case <-late:
			t.Fatalf("nothing matched %q:\n%s", pattern, text[d.seen:])
		}
	}
}

func raise(t *testing.T, p *os.Process, s os.Signal) {
	t.Helper()
	if err := p.Signal(s); err != nil {
		t.Fatalf("signal %v: %v", s, err)
	}
}

// upgrade has the last one replaced, and waits for the next.
func (d *dynasty) upgrade(t *testing.T) {
	t.Helper()
	raise(t, d.last, syscall.SIGUSR2)
	pid, err := strconv.Atoi(d.waitFor(t, `process (\d+) serves from now on`))
	if err != nil {
		t.Fatal(err)
	}
	if d.last, err = os.FindProcess(pid); err != nil {
		t.Fatal(err)
	}
}

// firstEnds waits for the end of the first one.
func (d *dynasty) firstEnds(t *testing.T, code int) {
	t.Helper()
	select {
	case got := <-d.exited:
		if got != code {
			text, _ := d.output()
			t.Fatalf("the first process ended with status %d, want %d:\n%s", got, code, text)
		}
	case <-time.After(deadline):
		t.Fatal("the first process does not end")
	}
}

// end terminates the last one, and waits until all have ended.
func (d *dynasty) end(t *testing.T) (log string) {
	t.Helper()
	raise(t, d.last, syscall.SIGTERM)
	select {
	case <-d.ended:
	case <-time.After(deadline):
		text, _ := d.output()
		t.Fatalf("processes are left over:\n%s", text)
	}
	text, _ := d.output()
	return text
}

// A crowd is clients that all talk at once.
type crowd struct {
	address string
	config  *tls.Config
	wg      sync.WaitGroup
	stop    chan struct{}

	mu     sync.Mutex
	cond   sync.Cond
	rounds int     // guarded by mu, as all below
	visits int     // of those that come and go
	errs   []error // all of them
}

func newCrowd(t *testing.T, address string, config *tls.Config) *crowd {
	c := &crowd{address: address, config: config, stop: make(chan struct{})}
	c.cond.L = &c.mu
	t.Cleanup(c.end)
	return c
}

// end has all finish what they say.
func (c *crowd) end() {
	if !isClosed(c.stop) {
		close(c.stop)
	}
	c.wg.Wait()
}

func (c *crowd) tell(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
	c.cond.Broadcast()
}

// await returns when what it asks holds, or somebody has failed.
func (c *crowd) await(holds func() bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for !holds() && len(c.errs) == 0 {
		c.cond.Wait()
	}
}

// goesOn waits until there have been so many more rounds and visits.
func (c *crowd) goesOn(rounds, visits int) {
	c.tell(func() { rounds, visits = rounds+c.rounds, visits+c.visits })
	c.await(func() bool { return c.rounds >= rounds && c.visits >= visits })
}

// stay is a client that talks until the crowd stops.
func (c *crowd) stay() {
	if err := c.talk(func() bool { return !isClosed(c.stop) }); err != nil {
		c.tell(func() { c.errs = append(c.errs, err) })
	}
}

// come is a client that comes and goes until the crowd stops.
func (c *crowd) come() {
	for !isClosed(c.stop) {
		said := false
		err := c.talk(func() bool { said = !said; return said })
		c.tell(func() {
			c.visits++
			if err != nil {
				c.errs = append(c.errs, err)
			}
		})
	}
}

// talk sends blocks and wants them back, as long as it goes on; then it ends its
// side, and wants nothing but the end of the other.
func (c *crowd) talk(on func() bool) error {
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: deadline}, "tcp", c.address, c.config)
	if err != nil {
		return err
	}
	defer conn.Close()
	block, got := make([]byte, 4096), make([]byte, 4096)
	for i := 0; on(); i++ {
		size := 1 + rand.N(len(block))
		for j := range block[:size] {
			block[j] = byte(i + j)
		}
		conn.SetDeadline(time.Now().Add(deadline))
		if _, err := conn.Write(block[:size]); err != nil {
			return fmt.Errorf("round %d: %w", i, err)
		}
		if _, err := io.ReadFull(conn, got[:size]); err != nil {
			return fmt.Errorf("round %d: %w", i, err)
		}
		if !bytes.Equal(got[:size], block[:size]) {
			return fmt.Errorf("round %d: what came back is not what was sent", i)
		}
		c.tell(func() { c.rounds++ })
	}
	if err := conn.CloseWrite(); err != nil {
		return err
	}
	if rest, err := io.ReadAll(conn); err != nil || len(rest) > 0 {
		return fmt.Errorf("at the end: %d bytes, %v", len(rest), err)
	}
	return nil
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// 500 connections that talk all the time, and clients that come all the time,
// live through an upgrade, and another one: none is refused, and no byte is lost
// (#7, what must be shown).
func TestUpgradeLosesNothing(t *testing.T) {
	i := install(t)
	d := i.serve(t, "--log-rate", "5", "echo")
	c := newCrowd(t, "127.0.0.1:"+d.port, i.config(nil))
	const staying, coming = 500, 4
	for range staying {
		c.wg.Go(c.stay)
	}
	for range coming {
		c.wg.Go(c.come)
	}
	c.goesOn(5*staying, 20)
	d.upgrade(t)
	c.goesOn(5*staying, 20)
	raise(t, d.last, syscall.SIGUSR2)
	left := d.waitFor(t, `the process before this one still drains" pid=\d+ connections=(\d+)`)
	if n, err := strconv.Atoi(left); err != nil || n < staying || n > staying+coming {
		t.Errorf("%s connections are said to be left, want %d, and perhaps some that came last", left, staying)
	}
	c.goesOn(staying, 10)
	c.end()
	d.firstEnds(t, 0)
	d.upgrade(t)
	again := newCrowd(t, c.address, c.config)
	again.wg.Go(again.come)
	again.goesOn(5, 5)
	again.end()
	d.end(t)
	for _, err := range append(c.errs, again.errs...) {
		t.Error(err)
	}
	t.Logf("%d rounds of echo, %d visits", c.rounds, c.visits)
}

// Sessions are resumed by the process that has taken over, though no key was ever
// stored (#7, point 3).
func TestUpgradeKeepsSessions(t *testing.T) {
	i := install(t)
	d := i.serve(t)
	config := i.config(tls.NewLRUClientSessionCache(1))
	resumes := func() bool {
		conn, err := tls.Dial("tcp", "127.0.0.1:"+d.port, config)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := io.ReadFull(conn, make([]byte, len(greeting))); err != nil { // the ticket comes before
			t.Fatal(err)
		}
		return conn.ConnectionState().DidResume
	}
	if resumes() || !resumes() {
		t.Fatal("the first visit resumed, or the second did not")
	}
	for n := range 10 { // more than there may be keys
		d.upgrade(t)
		if !resumes() {
			t.Fatalf("no session is resumed after upgrade %d", n+1)
		}
		d.waitFor(t, `msg=("?stopped)`)
	}
	if log := d.end(t); strings.Contains(log, "level=ERROR") || strings.Contains(log, "level=WARN") {
		t.Errorf("the log:\n%s", log)
	}
}

// A next process that does not come up changes nothing, and the log says in one
// line why it did not (#7, what must be shown).
func TestUpgradeFailsWithoutHarm(t *testing.T) {
	i := install(t)
	pidFile := filepath.Join(t.TempDir(), "pid")
	d := i.serve(t, "--upgrade-timeout", "1s", "--pid-file", pidFile, "echo")
	c := newCrowd(t, "127.0.0.1:"+d.port, i.config(nil))
	for range 8 {
		c.wg.Go(c.stay)
	}
	c.wg.Go(c.come)
	good, err := os.ReadFile(i.cert)
	if err != nil {
		t.Fatal(err)
	}
	fails := func(what, want string) {
		t.Helper()
		raise(t, d.last, syscall.SIGUSR2)
		line := d.waitFor(t, `(level=ERROR msg="upgrade failed, this process goes on as it is".*)$`)
		if !regexp.MustCompile(want).MatchString(line) {
			t.Errorf("%s: %s\nwant it to say %q", what, line, want)
		}
		c.goesOn(16, 4)
		if text, err := os.ReadFile(pidFile); string(text) != fmt.Sprintln(d.first) {
			t.Errorf("%s: the number of the process is %q, %v", what, text, err)
		}
	}
	if err := os.WriteFile(i.cert, []byte("nothing"), 0o644); err != nil {
		t.Fatal(err)
	}
	fails("a bad certificate", `err="load certificate.*exited`)
	if err := os.WriteFile(i.cert, good, 0o644); err != nil {
		t.Fatal(err)
	}
	i.replace(t, []byte("no program\n"))
	fails("a file that is no program", `exec format error`)
	i.replace(t, []byte("#!/bin/sh\nexit 3\n"))
	fails("a program that ends", `exit status 3`)
	i.replace(t, []byte("#!/bin/sh\nkill -SEGV $$\n"))
	fails("a program that crashes", `signal: segmentation fault`)
	i.replace(t, []byte("#!/bin/sh\nexec sleep 60\n"))
	fails("a program that hangs", `timed out`)
	if err := os.Remove(i.program); err != nil {
		t.Fatal(err)
	}
	fails("no program", `no such file`)
	i.restore(t)
	d.upgrade(t)
	c.goesOn(16, 4)
	c.end()
	d.firstEnds(t, 0)
	d.end(t)
	for _, err := range c.errs {
		t.Error(err)
	}
}
