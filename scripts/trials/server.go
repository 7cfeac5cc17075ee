//go:build linux

package main

import (
	"bufio"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// patience bounds each wait for something that should come at once.
const patience = 30 * time.Second

// A server is a running tcps whose log is read.
type server struct {
	cmd   *exec.Cmd
	addr  string        // HOST:PORT
	ended chan struct{} // closed once the process has ended

	mu      sync.Mutex
	reasons map[string]int // how often the log gave each; guarded by mu, as below
	lines   []logLine      // warnings and errors
	said    map[string]int // how often each message came
}

// A logLine is what trials look at in a line of the log.
type logLine struct {
	Level    string `json:"level"`
	Message  string `json:"msg"`
	Reason   string `json:"reason"`
	Err      string `json:"err"`
	Endpoint string `json:"endpoint"`
}

// startServer starts PROGRAM serve with these arguments on a port of its own, and
// waits until it serves.
func startServer(program string, args ...string) (*server, error) {
	args = append([]string{"serve", "--listen", "tcps://127.0.0.1:0", "--log", "json", "--log-level", "debug", "--log-rate", "off"}, args...)
	s := &server{cmd: exec.Command(program, args...), ended: make(chan struct{}), reasons: make(map[string]int), said: make(map[string]int)}
	stderr, err := s.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	serving := make(chan string, 1)
	go s.follow(stderr, serving)
	select {
	case s.addr = <-serving:
		return s, nil
	case <-s.ended:
		return nil, fmt.Errorf("%s ended before it served: %v", program, s.cmd.ProcessState)
	case <-time.After(patience):
		s.cmd.Process.Kill()
		return nil, fmt.Errorf("%s does not serve after %v", program, patience)
	}
}

// follow reads the log to its end.
func (s *server) follow(log io.Reader, serving chan<- string) {
	defer close(s.ended)
	lines := bufio.NewScanner(log)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var line logLine
		if json.Unmarshal(lines.Bytes(), &line) != nil {
			line = logLine{Level: "ERROR", Message: lines.Text()} // a panic, or the race detector
		}
		s.note(line)
		if u, err := url.Parse(line.Endpoint); err == nil && line.Message == "serving" {
			select {
			case serving <- u.Host:
			default:
			}
		}
	}
	s.cmd.Wait()
}

func (s *server) note(line logLine) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.said[line.Message]++
	if line.Reason != "" {
		s.reasons[line.Reason]++
	}
	if line.Level == "WARN" || line.Level == "ERROR" {
		s.lines = append(s.lines, line)
	}
}

// stop ends the server, which should need no more than patience.
func (s *server) stop() error {
	s.cmd.Process.Signal(syscall.SIGTERM)
	s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.ended:
		return nil
	case <-time.After(patience):
		s.cmd.Process.Kill()
		return errors.New("the server does not end")
	}
}

// authority makes an authority in a folder, and returns its root.
func authority(ctx context.Context, program, state string) (*x509.CertPool, error) {
	if out, err := exec.CommandContext(ctx, program, "certs", "init", "--state", state).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("make an authority: %w: %s", err, out)
	}
	root, err := os.ReadFile(filepath.Join(state, "authority", "root.pem"))
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(root)
	return pool, nil
}
