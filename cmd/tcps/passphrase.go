package main

import (
	"bytes"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"sync"
	"syscall"

	"github.com/urfave/cli/v2"
	"golang.org/x/term"

	"tcps/certs"
)

// A passphrase comes from a file, else from the environment, else from a
// prompt on the terminal; never from the command line, which everybody on the
// machine can read. A file is read anew each time, so that a reload takes what
// is in it then; what was typed is remembered for each key.

const (
	passphraseVariable = "TCPS_PASSPHRASE"
	passphraseTries    = 3       // at the prompt
	maxPassphraseBytes = 4 << 10 // of the file's first line
)

func passphraseFlags() []cli.Flag {
	return []cli.Flag{stringFlag("Passphrase", "passphrase-file", "",
		"`FILE` whose first line is the passphrase of an encrypted key (or set "+passphraseVariable+"; else the terminal asks)")}
}

// passphrase is where the command gets the passphrase of an encrypted key from.
func (p *program) passphrase(c *cli.Context) certs.Passphrase {
	return p.passphraseFrom(c, "passphrase-file").open
}

// newPassphrase is the passphrase for a file that is yet to be made.
func (p *program) newPassphrase(c *cli.Context, file string) ([]byte, error) {
	s := p.passphraseFrom(c, "passphrase-file")
	passphrase, err := s.given()
	if err == nil && passphrase == nil {
		passphrase, err = s.invent(file)
	}
	if err != nil {
		return nil, fileFailure(err)
	}
	return passphrase, nil
}

// A passphraseSource is where passphrases come from.
type passphraseSource struct {
	file string
	warn func(string)

	mu     sync.Mutex
	piped  []byte            // the line, if file can be read only once; guarded by mu
	typed  map[string][]byte // by the file that they open; guarded by mu
	warned bool              // guarded by mu
}

func (p *program) passphraseFrom(c *cli.Context, flag string) *passphraseSource {
	s := &passphraseSource{file: c.String(flag), typed: make(map[string][]byte)}
	s.warn = func(text string) { p.warn(text) }
	if log, err := newLogger(c, p.err); err == nil { // the command has a log, which is in a form of its own
		s.warn = func(text string) { log.Warn(text) }
	}
	return s
}

// open is a certs.Passphrase.
func (s *passphraseSource) open(file string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	passphrase, err := s.given()
	if err != nil || passphrase != nil {
		return passphrase, err
	}
	if passphrase := s.typed[file]; passphrase != nil {
		return passphrase, nil
	}
	t, err := openTerminal()
	if err != nil {
		return nil, certs.ErrPassphraseNeeded
	}
	defer t.close()
	for range passphraseTries {
		if passphrase, err = t.ask(fmt.Sprintf("passphrase of %q", file)); err != nil {
			return nil, err
		}
		if !errors.Is(certs.CheckPassphrase(file, passphrase), certs.ErrWrongPassphrase) {
			s.typed[file] = passphrase
			return passphrase, nil
		}
		t.say("that passphrase is wrong")
	}
	return nil, certs.ErrWrongPassphrase
}

// given is the passphrase of the flag or the environment, nil if there is none.
func (s *passphraseSource) given() ([]byte, error) {
	if s.file == "" {
		if value := os.Getenv(passphraseVariable); value != "" {
			return []byte(value), nil
		}
		return nil, nil
	}
	if s.piped != nil {
		return s.piped, nil
	}
	passphrase, err := s.read()
	if err != nil {
		return nil, fmt.Errorf("read passphrase file %q: %w", s.file, err)
	}
	return passphrase, nil
}

// read reads the first line of the file.
func (s *passphraseSource) read() ([]byte, error) {
	f, err := os.Open(s.file)
	if err != nil {
		return nil, errors.Unwrap(err) // without the path
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case info.IsDir():
		return nil, errors.New("this is a folder, not a file")
	}
	if mode := info.Mode(); mode.IsRegular() && mode.Perm()&0o077 != 0 && runtime.GOOS != "windows" && !s.warned {
		s.warned = true
		s.warn(fmt.Sprintf("passphrase file %q is open to others (mode %04o): chmod 600 closes it", s.file, mode.Perm()))
	}
	data, err := io.ReadAll(io.LimitReader(f, maxPassphraseBytes+1))
	if err != nil {
		return nil, err
	}
	line, _, _ := bytes.Cut(data, []byte("\n"))
	switch line = bytes.TrimSuffix(line, []byte("\r")); {
	case len(line) == 0:
		return nil, errors.New("its first line is empty")
	case len(line) > maxPassphraseBytes:
		return nil, fmt.Errorf("its first line has more than %d bytes", maxPassphraseBytes)
	}
	if !info.Mode().IsRegular() {
		s.piped = line
	}
	return line, nil
}

// invent asks for a new passphrase, twice.
func (s *passphraseSource) invent(file string) ([]byte, error) {
	t, err := openTerminal()
	if err != nil {
		return nil, fmt.Errorf("write %q: %w", file, errNoPassphrase)
	}
	defer t.close()
	for range passphraseTries {
		passphrase, err := t.ask(fmt.Sprintf("new passphrase for %q", file))
		if err != nil {
			return nil, err
		}
		again, err := t.ask("the same again")
		if err != nil {
			return nil, err
		}
		switch {
		case len(passphrase) == 0:
			t.say("an empty passphrase protects nothing")
		case subtle.ConstantTimeCompare(passphrase, again) == 0:
			t.say("the two differ")
		default:
			return passphrase, nil
		}
	}
	return nil, fmt.Errorf("write %q: no passphrase was chosen", file)
}

// errNoPassphrase is the cause when a new file needs a passphrase and nobody
// says one.
var errNoPassphrase = errors.New("it needs a passphrase, and none is given")

// A prompter is the terminal that the command was started on.
type prompter struct {
	in  *os.File
	out io.Writer
}

func openTerminal() (*prompter, error) {
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	switch {
	case err == nil && inForeground(tty):
		return &prompter{tty, tty}, nil
	case err == nil:
		tty.Close()
		return nil, errors.New("the terminal is another program's now")
	case term.IsTerminal(int(os.Stdin.Fd())): // Windows
		return &prompter{os.Stdin, os.Stderr}, nil
	}
	return nil, err
}

func (t *prompter) close() {
	if t.in != os.Stdin {
		t.in.Close()
	}
}

func (t *prompter) say(text string) { fmt.Fprintln(t.out, "tcps:", text) }

// ask reads a line that is not shown. An interrupt ends it, and leaves the
// terminal as it was.
func (t *prompter) ask(what string) ([]byte, error) {
	fd := int(t.in.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return nil, fmt.Errorf("ask for the %s: %w", what, err)
	}
	interrupts := make(chan os.Signal, 1)
	signal.Notify(interrupts, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(interrupts)
	fmt.Fprintf(t.out, "tcps: %s: ", what)
	defer fmt.Fprintln(t.out) // the line end that was typed is not shown either
	type answer struct {
		line []byte
		err  error
	}
	answers := make(chan answer, 1)
	go func() {
		line, err := term.ReadPassword(fd)
		answers <- answer{line, err}
	}()
	select {
	case a := <-answers:
		if a.err != nil {
			return nil, fmt.Errorf("ask for the %s: %w", what, a.err)
		}
		return a.line, nil
	case <-interrupts: // nothing ends the reading: it stays behind for the moment that the process still has
		return nil, errors.Join(errInterrupted, term.Restore(fd, before))
	}
}
