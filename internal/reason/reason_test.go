package reason

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"net"
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tcps/internal/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// exitCodes is FEATURES' list of exit codes, with DESIGN's words in it.
var exitCodes = map[Reason]int{
	Done:              0,
	ClosedBeforeHello: 1,
	ProxyHeader:       1,
	Reset:             1,
	Shutdown:          1,
	Failed:            1,
	Limit("hellos"):   1,
	Descriptors:       1,

	Timeout("connect"): 4, Timeout("handshake"): 4, Timeout("idle"): 4,

	NotTLS:         5,
	Malformed:      5,
	Version:        5,
	NoSharedCipher: 5,
	NoSharedGroup:  5,
	ALPN:           5,
	SNI:            5,
	NotResumed:     5,

	Untrusted: 6, WrongUsage: 6,
	Name: 7, Pin: 7,
	Expired: 8, NotYetValid: 8,
	Revoked: 9,

	NoCertificate:                         10,
	Policy("allow-cn"):                    10,
	PeerRefusedUs("certificate_required"): 10,

	Truncated: 11,
}

func TestEachReasonHasItsExitCode(t *testing.T) {
	for r, want := range exitCodes {
		if got := r.ExitCode(); got != want {
			t.Errorf("%s: exit code %d, want %d", r, got, want)
		}
	}
	if got := Reason("something new").ExitCode(); got != 1 {
		t.Errorf("an unknown reason has the exit code %d, want 1", got)
	}
	for name, value := range constants(t) {
		if _, ok := exitCodes[value]; !ok {
			t.Errorf("%s = %q is not in the table of exit codes", name, value)
		}
	}
}

// constants reads the declared reasons, so that none is left out of a table.
func constants(t *testing.T) map[string]Reason {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "reason.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]Reason)
	for _, decl := range file.Decls {
		group, ok := decl.(*ast.GenDecl)
		if !ok || group.Tok != token.CONST {
			continue
		}
		for _, spec := range group.Specs {
			value := spec.(*ast.ValueSpec)
			text, err := strconv.Unquote(value.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			all[value.Names[0].Name] = Reason(text)
		}
	}
	if len(all) < 20 {
		t.Fatalf("found %d reasons only", len(all))
	}
	return all
}

func TestKindLeavesTheDetailOut(t *testing.T) {
	for r, want := range map[Reason]Reason{
		Done:                         "done",
		ClosedBeforeHello:            "closed-before-hello",
		Timeout("handshake"):         "timeout",
		Limit("total"):               "limit",
		PeerRefusedUs("unknown_ca"):  "peer-refused-us",
		Policy("allow-uri spiffe:x"): "policy",
		"":                           "",
	} {
		if got := r.Kind(); got != want {
			t.Errorf("the kind of %q is %q, want %q", r, got, want)
		}
	}
}

func TestTheReasonOfAnError(t *testing.T) {
	for _, c := range []struct {
		name string
		err  error
		want Reason
	}{
		{"known where it arose", &Error{Revoked, errors.New("serial 1")}, Revoked},
		{"known, of an end", &Error{Policy("deny-cn"), io.EOF}, Policy("deny-cn")},
		{"cut", wire.ErrTruncated, Truncated},
		{"deadline of a socket", os.ErrDeadlineExceeded, Timeout("handshake")},
		{"deadline of a context", context.DeadlineExceeded, Timeout("handshake")},
		{"reset", syscall.ECONNRESET, Reset},
		{"broken pipe", syscall.EPIPE, Reset},
		{"aborted", syscall.ECONNABORTED, Reset},
		{"closed by us", net.ErrClosed, Shutdown},
		{"cancelled", context.Canceled, Shutdown},
		{"refused", syscall.ECONNREFUSED, Failed},
		{"of the service", errors.New("no such table"), Failed},
	} {
		t.Run(c.name, func(t *testing.T) {
			wantReason(t, c.err, c.want)
			wantReason(t, &net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", c.err)}, c.want)
		})
	}
	for _, err := range []error{nil, io.EOF} {
		if got := Of(err, ""); got != Done {
			t.Errorf("%v is %q, want done", err, got)
		}
	}
	// An end in the middle of something is not the end that a stream should have.
	if got := Of(fmt.Errorf("read header: %w", io.EOF), ""); got == Done {
		t.Error("a wrapped io.EOF is done")
	}
}

func TestAnErrorSaysWhatItsCauseSays(t *testing.T) {
	cause := errors.New("certificate 7 is revoked")
	err := error(&Error{Revoked, cause})
	if err.Error() != cause.Error() || !errors.Is(err, cause) {
		t.Errorf("%q, wraps its cause: %v", err, errors.Is(err, cause))
	}
}

// The same, as the sockets of this system say it.
func TestTheReasonOfWhatSocketsSay(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dial := func(t *testing.T) (ours, peer *net.TCPConn) {
		p, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close(); p.Close() })
		return c.(*net.TCPConn), p.(*net.TCPConn)
	}
	b := make([]byte, 1)
	for _, c := range []struct {
		name string
		make func(t *testing.T) error
		want Reason
	}{
		{"reset, read", func(t *testing.T) error {
			ours, peer := dial(t)
			peer.SetLinger(0)
			peer.Close()
			_, err := ours.Read(b)
			return err
		}, Reset},
		{"reset, written to", func(t *testing.T) error {
			ours, peer := dial(t)
			peer.SetLinger(0)
			peer.Close()
			for {
				if _, err := ours.Write(b); err != nil {
					return err
				}
			}
		}, Reset},
		{"deadline", func(t *testing.T) error {
			ours, _ := dial(t)
			ours.SetReadDeadline(time.Now().Add(-time.Second))
			_, err := ours.Read(b)
			return err
		}, Timeout("handshake")},
		{"closed", func(t *testing.T) error {
			ours, _ := dial(t)
			ours.Close()
			_, err := ours.Read(b)
			return err
		}, Shutdown},
		{"dial, deadline", func(t *testing.T) error {
			ctx, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
			defer cancel()
			_, err := new(net.Dialer).DialContext(ctx, "tcp", l.Addr().String())
			return err
		}, Timeout("handshake")},
		{"dial, cancelled", func(t *testing.T) error {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			_, err := new(net.Dialer).DialContext(ctx, "tcp", l.Addr().String())
			return err
		}, Shutdown},
	} {
		t.Run(c.name, func(t *testing.T) { wantReason(t, c.make(t), c.want) })
	}
	l.Close()
	_, err = net.Dial("tcp", l.Addr().String())
	wantReason(t, err, Failed)
}
