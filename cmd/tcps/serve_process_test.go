//go:build !windows

package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// These tests hold the other end of the command's pipes themselves, which no
// script can.

// A child is a tcps whose standard error comes through a pipe that is read
// by hand.
type child struct {
	*exec.Cmd
	log   *os.File      // the pipe's reading end
	lines *bufio.Reader // of log
	state string
	ended chan struct{}
}

func startProcess(t *testing.T, args ...string) *child {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p := &child{Cmd: exec.Command("tcps", args...), log: r, lines: bufio.NewReader(r), state: t.TempDir(), ended: make(chan struct{})}
	p.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0", "XDG_DATA_HOME="+p.state, "STATE_DIRECTORY=")
	p.Stderr = w
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	go func() {
		defer close(p.ended)
		p.Wait()
	}()
	t.Cleanup(func() {
		p.Process.Kill() // the process that was started here, if it still runs
		<-p.ended
		r.Close()
	})
	return p
}

// waitFor reads the log to a line that matches, and returns its first group.
func (p *child) waitFor(t *testing.T, pattern string) string {
	t.Helper()
	p.log.SetReadDeadline(time.Now().Add(deadline))
	match := regexp.MustCompile(pattern)
	var read strings.Builder
	for {
		line, err := p.lines.ReadString('\n')
		read.WriteString(line)
		if groups := match.FindStringSubmatch(line); groups != nil {
			return groups[len(groups)-1]
		}
		if err != nil {
			t.Fatalf("nothing matched %q: %v; the log:\n%s", pattern, err, &read)
		}
	}
}

func (p *child) signal(t *testing.T, s os.Signal) {
	t.Helper()
	if err := p.Process.Signal(s); err != nil {
		t.Fatalf("signal %v: %v", s, err)
	}
}

// expectExit waits for the end, at most for limit.
func (p *child) expectExit(t *testing.T, limit time.Duration, code int) {
	t.Helper()
	select {
	case <-p.ended:
		if got := p.ProcessState.ExitCode(); got != code {
			t.Errorf("ended with %v, want exit status %d", p.ProcessState, code)
		}
	case <-time.After(limit):
		t.Errorf("has not ended %v after the last signal", limit)
	}
}

const servingLine = `msg=serving .*endpoint=\S+:(\d+)`

// visit is a client that wants the greeting and its own words back.
func visit(dial func() (net.Conn, error)) error {
	conn, err := dial()
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(deadline))
	if _, err := io.WriteString(conn, "abc"); err != nil {
		return err
	}
	got := make([]byte, len("hello\r\nabc"))
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != "hello\r\nabc" {
		return fmt.Errorf("got %q, %w", got, err)
	}
	return nil
}

// A log whose reader has gone away must not take the server with it (#3, point 6).
func TestServeOutlivesTheReaderOfItsLog(t *testing.T) {
	t.Parallel()
	p := startProcess(t, "serve", "--listen", "tcp://127.0.0.1:0", "--log-data")
	port := p.waitFor(t, servingLine)
	p.log.Close()
	for i := range 5 {
		if err := visit(func() (net.Conn, error) { return net.Dial("tcp", "127.0.0.1:"+port) }); err != nil {
			t.Fatalf("visit %d: %v", i, err)
		}
	}
	p.signal(t, syscall.SIGTERM)
	p.expectExit(t, deadline, 0)
}

// flood opens a connection and talks until the server has not taken a byte for
// a while: its log is full.
func flood(t *testing.T, port string, roots *x509.CertPool) {
	t.Helper()
	var conn net.Conn
	conn, err := net.Dial("tcp", "127.0.0.1:"+port)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if roots != nil {
		conn = tls.Client(conn, &tls.Config{RootCAs: roots, ServerName: "localhost"})
	}
	go io.Copy(io.Discard, conn) // so that nothing but the log stands in the way
	block := make([]byte, 4096)
	for sent := 0; sent < 64<<20; sent += len(block) {
		conn.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
		if _, err := conn.Write(block); errors.Is(err, os.ErrDeadlineExceeded) {
			return
		} else if err != nil {
			t.Fatalf("after %d bytes: %v", sent, err)
		}
	}
	t.Fatal("the log is not full after 64 MiB")
}

// A log that nobody reads (a stuck shipper, Ctrl+S on a terminal) holds up
// connections; it must not keep the process from ending (#3, point 6).
func TestServeEndsThoughNobodyReadsItsLog(t *testing.T) {
	t.Parallel()
	const bound = 8 * time.Second // a few seconds, and a slow machine
	for _, scheme := range []string{"tcp", "tcps"} {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			interrupted := startUnread(t, scheme, "30s")
			terminated := startUnread(t, scheme, "off")
			drained := startUnread(t, scheme, "300ms")
			terminated.signal(t, syscall.SIGHUP) // a reload has a line to say too
			time.Sleep(100 * time.Millisecond)   // for it to begin
			for _, p := range []*child{interrupted, terminated, drained} {
				p.signal(t, syscall.SIGTERM)
			}
			select {
			case <-interrupted.ended:
				t.Error("ended at the first signal, though a connection was open")
			case <-time.After(200 * time.Millisecond): // signals that come at once are one
			}
			interrupted.signal(t, syscall.SIGINT)
			terminated.signal(t, syscall.SIGTERM)
			for _, p := range []*child{interrupted, terminated, drained} {
				p.expectExit(t, bound, 1)
			}
		})
	}
}

// startUnread starts a server whose log is full and is not read any more.
func startUnread(t *testing.T, scheme, drain string) *child {
	t.Helper()
	p := startProcess(t, "serve", "--listen", scheme+"://127.0.0.1:0", "--log-data", "--drain", drain)
	port := p.waitFor(t, servingLine)
	var roots *x509.CertPool
	if scheme == "tcps" {
		pem, err := os.ReadFile(filepath.Join(p.state, "tcps", "authority", "root.pem"))
		if err != nil {
			t.Fatal(err)
		}
		roots = x509.NewCertPool()
		roots.AppendCertsFromPEM(pem)
	}
	flood(t, port, roots)
	return p
}

// SIGHUP is a wish for a reload from the moment that serve runs, also while it
// still reads its files (#3, point 3).
func TestHangupDuringTheStartIsNoEnd(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	issue := exec.Command("tcps", "certs", "issue", "--state", dir, "--out", dir, "localhost")
	if out, err := issue.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	key, err := os.ReadFile(filepath.Join(dir, "localhost.key"))
	if err != nil {
		t.Fatal(err)
	}
	fifo := filepath.Join(dir, "fifo.key") // serve waits there, as long as we like
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	p := startProcess(t, "serve", "--listen", "tcps://127.0.0.1:0", "--cert", filepath.Join(dir, "localhost.pem"), "--key", fifo)
	writeTo := func(hangup bool) {
		ctx, cancel := context.WithTimeout(t.Context(), deadline)
		defer cancel()
		written := make(chan error, 1)
		go func() {
			f, err := os.OpenFile(fifo, os.O_WRONLY, 0) // waits for serve to open it
			if err != nil {
				written <- err
				return
			}
			defer f.Close()
			if hangup {
				p.Process.Signal(syscall.SIGHUP)
			}
			_, err = f.Write(key)
			written <- err
		}()
		select {
		case err := <-written:
			if err != nil {
				t.Fatal(err)
			}
		case <-ctx.Done():
			if r, err := os.OpenFile(fifo, os.O_RDONLY|syscall.O_NONBLOCK, 0); err == nil { // lets the writer go
				defer r.Close()
			}
			t.Fatalf("nobody reads the key: %v", p.ProcessState)
		}
	}
	writeTo(true)
	p.waitFor(t, servingLine)
	writeTo(false) // for the reload
	p.waitFor(t, `msg=reloaded cause=SIGHUP`)
	p.signal(t, syscall.SIGTERM)
	p.expectExit(t, deadline, 0)
}

// The same with the local authority, which is made on the first start: a few
// starts, each with SIGHUP as soon as there is any trace of serve.
func TestHangupAtTheFirstTraceIsNoEnd(t *testing.T) {
	t.Parallel()
	for range 5 {
		p := startProcess(t, "serve", "--listen", "tcps://127.0.0.1:0")
		for late := time.Now().Add(deadline); ; {
			if found, _ := filepath.Glob(filepath.Join(p.state, "tcps", "*")); len(found) > 0 {
				break
			}
			if time.Now().After(late) {
				t.Fatal("no state folder")
			}
		}
		p.signal(t, syscall.SIGHUP)
		p.waitFor(t, servingLine)
		p.waitFor(t, `msg=reloaded cause=SIGHUP`)
		p.signal(t, syscall.SIGTERM)
		p.expectExit(t, deadline, 0)
	}
}
