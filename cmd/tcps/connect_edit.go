package main

import (
	"io"
	"os"
	"os/signal"
	"slices"
	"sync"
	"syscall"
	"unicode/utf8"

	"golang.org/x/term"

	"tcps/internal/terminal"
	"tcps/tlsclient"
)

// On a terminal connect edits lines: a line is sent when it is complete, those
// before it come back with the arrow keys, and what the server says meanwhile
// does not garble it. History is in memory only: what is typed may be a secret.
// What the server says is escaped where it could steer the terminal; "| cat"
// shows it as it is. Ctrl+D ends our sending side, Ctrl+C does what it does
// without an editor.

// A lineEditor is the terminal while it is edited on. It is the input and the
// output of a session.
type lineEditor struct {
	in         *os.File
	out        io.Writer
	interrupts chan<- os.Signal // what Ctrl+C does: the terminal sends no signal now
	lines      *term.Terminal
	screen     *terminal.Writer
	pending    []byte // of the line that is being read
	before     *term.State
	withdraw   func() // gives the output its mode back
	signals    chan os.Signal

	writing sync.Mutex // held while screen is written to; a session may leave a write behind

	mu      sync.Mutex
	midLine bool // something was written since the last line end; guarded by mu
}

// edit has a session use the terminal, if it talks on one; end gives it back.
func (p *program) edit(s *tlsclient.Session, interrupts chan<- os.Signal) (end func(), err error) {
	in, isFile := s.In.(*os.File)
	out, ok := p.out.(*output)
	if !isFile || !ok || !term.IsTerminal(int(in.Fd())) {
		return func() {}, nil
	}
	screen, isFile := out.w.(*os.File)
	if !isFile || !term.IsTerminal(int(screen.Fd())) || !inForeground(in) {
		return func() {}, nil
	}
	withdraw, err := enableSequences(screen)
	if err != nil { // an old console: it edits lines itself
		return func() {}, nil
	}
	e := newLineEditor(in, p.out, interrupts)
	e.withdraw = withdraw
	if e.before, err = term.MakeRaw(int(in.Fd())); err != nil {
		withdraw()
		return nil, failure(err)
	}
	e.heedSignals()
	s.In, s.Out = e, e
	return e.close, nil
}

func newLineEditor(in *os.File, out io.Writer, interrupts chan<- os.Signal) *lineEditor {
	e := &lineEditor{in: in, out: out, interrupts: interrupts, signals: make(chan os.Signal, 1)}
	e.lines = term.NewTerminal(&keyboard{e: e}, "")
	e.screen = terminal.NewWriter(e.lines)
	return e
}

// Read gives the lines, one after another.
func (e *lineEditor) Read(b []byte) (int, error) {
	if len(e.pending) == 0 {
		if width, height, err := term.GetSize(int(e.in.Fd())); err == nil && width > 0 {
			e.lines.SetSize(width, height)
		}
		line, err := e.lines.ReadLine()
		if err != nil && err != term.ErrPasteIndicator {
			return 0, err
		}
		e.pending = append([]byte(line), '\n')
	}
	n := copy(b, e.pending)
	e.pending = e.pending[n:]
	return n, nil
}

// Write shows what the server says, above the line that is edited.
func (e *lineEditor) Write(b []byte) (int, error) {
	e.writing.Lock()
	defer e.writing.Unlock()
	return e.screen.Write(b)
}

// close ends the editor.
func (e *lineEditor) close() {
	signal.Stop(e.signals)
	close(e.signals)
	e.leave()
	e.withdraw()
}

// leave leaves the terminal as it was, at the beginning of a line.
func (e *lineEditor) leave() {
	if e.writing.TryLock() {
		e.screen.Flush()
		e.writing.Unlock()
	}
	e.mu.Lock()
	midLine := e.midLine
	e.midLine = false
	e.mu.Unlock()
	if midLine {
		io.WriteString(e.out, "\r\n")
	}
	term.Restore(int(e.in.Fd()), e.before)
}

// heedSignals ends the session where the system would end the process: the
// terminal must not stay as it is. A second signal finds nobody who heeds it.
func (e *lineEditor) heedSignals() {
	signal.Notify(e.signals, append(resumeSignals, syscall.SIGTERM, syscall.SIGHUP)...)
	go e.passSignals()
}

func (e *lineEditor) passSignals() {
	for s := range e.signals {
		if slices.Contains(resumeSignals, s) {
			if inForeground(e.in) { // whoever had the terminal meanwhile had it as they like it
				term.MakeRaw(int(e.in.Fd()))
			}
			continue
		}
		signal.Stop(e.signals)
		e.leave()
		e.interrupt()
		e.interrupt()
	}
}

func (e *lineEditor) interrupt() {
	select {
	case e.interrupts <- os.Interrupt:
	default: // enough have come already
	}
}

// A keyboard is the terminal as the editor sees it.
type keyboard struct {
	e        *lineEditor
	cut      []byte // a character that has not come whole
	sequence int    // keys of an escape sequence that has not ended
}

const (
	controlC = 3
	escKey   = 27

	maxSequence = 32 // no key sends more
)

// Read takes Ctrl+C out, which does not end the input at once. What is no UTF-8 is
// a question mark: the editor would pass over it, and wait for another key before it
// looks at what follows.
func (k *keyboard) Read(b []byte) (int, error) {
	n := copy(b, k.cut)
	more, err := k.e.in.Read(b[n:])
	kept, rest := b[:0], b[:n+more]
	for len(rest) > 0 && (utf8.FullRune(rest) || err != nil) {
		key, size := utf8.DecodeRune(rest)
		switch {
		case key == controlC:
			k.e.interrupt()
		case key == utf8.RuneError:
			kept = append(kept, '?')
		case k.endless(key):
			kept = append(kept, '~')
		default:
			kept = append(kept, rest[:size]...)
		}
		rest = rest[size:]
	}
	k.cut = append(k.cut[:0], rest...)
	return len(kept), err
}

// endless reports whether the escape sequence that a key continues has become too
// long. The editor keeps one until the letter or the tilde that ends it, and when
// its buffer is full it would ask for more for ever.
func (k *keyboard) endless(key rune) bool {
	switch {
	case k.sequence == 0 && key != escKey, k.sequence > 0 && endsSequence(key):
		k.sequence = 0
	case k.sequence == maxSequence:
		k.sequence = 0
		return true
	default:
		k.sequence++
	}
	return false
}

func endsSequence(key rune) bool {
	return 'a' <= key && key <= 'z' || 'A' <= key && key <= 'Z' || key == '~'
}

func (k *keyboard) Write(b []byte) (int, error) {
	if len(b) > 0 {
		k.e.mu.Lock()
		k.e.midLine = b[len(b)-1] != '\n'
		k.e.mu.Unlock()
	}
	return k.e.out.Write(b)
}
