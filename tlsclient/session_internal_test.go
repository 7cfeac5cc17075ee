package tlsclient

import (
	"bytes"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"tcps/internal/wire"
)

// pipe is a plain connection without a socket, for synctest.
func pipe(t *testing.T) (*Conn, net.Conn) {
	t.Helper()
	client, server := net.Pipe()
	t.Cleanup(func() { server.Close(); client.Close() })
	return &Conn{stream: wire.Stream{Raw: wire.NewConn(client)}, endpoint: "tcp://pipe"}, server
}

// wantIdle checks that err is the end by a silence.
func wantIdle(t *testing.T, err error, took, want time.Duration) {
	t.Helper()
	failed, ok := err.(*Error)
	if !ok || failed.Reason != "timeout:idle" || failed.Reason.ExitCode() != 4 {
		t.Errorf("Run returned %v, want timeout:idle", err)
	}
	if took != want {
		t.Errorf("the session ended after %v, want %v", took, want)
	}
}

func TestASilenceInBothDirectionsEndsTheSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, server := pipe(t)
		go func() {
			for range 3 { // within the bound, and then no more
				time.Sleep(9 * time.Second)
				io.WriteString(server, ".")
			}
		}()
		start := time.Now()
		var out bytes.Buffer
		err := (&Session{Conn: c, Out: &out, OnEOF: EOFKeep, Idle: 10 * time.Second}).Run(t.Context())
		wantIdle(t, err, time.Since(start), 37*time.Second)
		if out.String() != "..." {
			t.Errorf("got %q", out.String())
		}
	})
}

func TestWhatIsSentIsNoSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, server := pipe(t)
		go io.Copy(io.Discard, server)
		in, input := io.Pipe()
		defer input.Close()
		go func() {
			for range 5 {
				time.Sleep(9 * time.Second)
				io.WriteString(input, "x")
			}
		}()
		start := time.Now()
		err := (&Session{Conn: c, In: in, Out: io.Discard, Idle: 10 * time.Second}).Run(t.Context())
		wantIdle(t, err, time.Since(start), 55*time.Second)
	})
}

func TestWithoutIdleASessionMayBeSilentForAnyTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, server := pipe(t)
		go func() {
			time.Sleep(30 * 24 * time.Hour)
			io.WriteString(server, "late")
			server.Close()
		}()
		var out bytes.Buffer
		if err := (&Session{Conn: c, Out: &out, OnEOF: EOFKeep}).Run(t.Context()); err != nil || out.String() != "late" {
			t.Errorf("%v: got %q", err, out.String())
		}
	})
}

// slowWriter takes a minute for each write.
type slowWriter struct{ bytes.Buffer }

func (w *slowWriter) Write(b []byte) (int, error) {
	time.Sleep(time.Minute)
	return w.Buffer.Write(b)
}

// The server is not silent: what it sent waits for an output that is slower
// than the bound.
func TestASlowOutputIsNoSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, server := pipe(t)
		go func() {
			for range 3 { // each write waits until it is taken
				io.WriteString(server, ".")
			}
			server.Close()
		}()
		var out slowWriter
		err := (&Session{Conn: c, Out: &out, OnEOF: EOFKeep, Idle: 10 * time.Second}).Run(t.Context())
		if err != nil || out.String() != "..." {
			t.Errorf("Run returned %v, and the output has %q; want all three bytes", err, out.String())
		}
	})
}

// found is what an expecter has to say of a whole stream.
func found(whole, text []byte, maxLine int) (bool, error) {
	at := bytes.Index(whole, text)
	seen := whole
	if at >= 0 {
		seen = whole[:at+len(text)]
	}
	for line := range bytes.SplitSeq(seen, []byte("\n")) {
		if len(line) > maxLine {
			return false, ErrLineTooLong
		}
	}
	return at >= 0, nil
}

// However a stream is cut into reads, the verdict is that on the whole.
func FuzzExpecter(f *testing.F) {
	f.Add([]byte("are you ready or not"), []byte("ready"), []byte{1}, uint16(100))
	f.Add([]byte("aaab"), []byte("aab"), []byte{2, 1}, uint16(4))
	f.Add([]byte("aaab"), []byte("aab"), []byte{1, 3}, uint16(3))
	f.Add([]byte("220 mail\r\n250 ok\r\n"), []byte("mail\r\n250"), []byte{3, 200}, uint16(9))
	f.Add([]byte("123456\nready"), []byte("ready"), []byte{255}, uint16(5))
	f.Add([]byte("12345\n1ready"), []byte("ready"), []byte{7, 2}, uint16(5))
	f.Add([]byte("\n\n\n\n"), []byte("\n\n\n"), []byte{1}, uint16(0))
	f.Add([]byte("ready"), []byte("r"), []byte{}, uint16(1))
	f.Fuzz(func(t *testing.T, whole, text, cuts []byte, maxLine uint16) {
		if len(text) == 0 {
			return // a Session without Expect has no expecter
		}
		want, wantErr := found(whole, text, int(maxLine))
		e := expecter{text: text, maxLine: int(maxLine)}
		var got bool
		var err error
		for i, rest := 0, whole; len(rest) > 0 && !got && err == nil; i++ {
			n := len(rest)
			if len(cuts) > 0 {
				n = min(n, int(cuts[i%len(cuts)])+1)
			}
			chunk := bytes.Clone(rest[:n])
			got, err = e.see(chunk)
			clear(chunk) // the next read overwrites it
			rest = rest[n:]
		}
		if got != want || err != wantErr {
			t.Errorf("%q in %q cut at %v, lines of at most %d: got %v, %v; want %v, %v", text, whole, cuts, maxLine, got, err, want, wantErr)
		}
	})
}
