package main

import (
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/lmittmann/tint"
	"github.com/urfave/cli/v2"
	"golang.org/x/term"

	"tcps/internal/terminal"
	"tcps/tlsclient"
	"tcps/tlsserver"
)

// Messages go to standard error: short and coloured on a terminal, elsewhere
// in slog's text form; --log json is one object a line.

func logFlag() *cli.GenericFlag {
	return stringFlag("Log", "log", "auto", "`FORM` that messages have: auto, text or json")
}

func newLogger(c *cli.Context, w io.Writer) (*slog.Logger, error) {
	switch form := c.String("log"); form {
	case "json":
		return slog.New(slog.NewJSONHandler(w, nil)), nil
	case "text":
		return slog.New(slog.NewTextHandler(w, nil)), nil
	case "auto":
		if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
			return slog.New(terminalHandler(w, os.Getenv("NO_COLOR") == "")), nil
		}
		return slog.New(slog.NewTextHandler(w, nil)), nil
	default:
		return nil, misuse("", "flag --log: %q is none of auto, text and json", form)
	}
}

// terminalHandler is the form for terminals. tint lets escape sequences
// through, and some of what is logged was chosen by strangers.
func terminalHandler(w io.Writer, colour bool) slog.Handler {
	return tint.NewTextHandler(w, &tint.Options{
		TimeFormat: time.TimeOnly,
		NoColor:    !colour,
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == slog.LevelKey) {
				return a
			}
			switch v := a.Value.Any().(type) {
			case string:
				a.Value = slog.StringValue(tame(v))
			case []string:
				a.Value = slog.StringValue(tame(strings.Join(v, " ")))
			case error, fmt.Stringer:
				a.Value = slog.StringValue(tame(fmt.Sprint(v)))
			}
			return a
		},
	})
}

// tame escapes what must not reach a terminal. tint makes an escape of the four
// characters \x1b again, wherever they came from: so they are written otherwise.
func tame(s string) string {
	return strings.ReplaceAll(terminal.Printable(s), `\x1b`, `\u001b`)
}

// A connLog is the Observer that writes one line when a connection has ended,
// and warns of clients' certificates that will end soon.
type connLog struct {
	log       *slog.Logger
	lifetimes *lifetimes
}

func (l connLog) Observe(e tlsserver.Event) {
	switch e := e.(type) {
	case tlsserver.Established:
		l.lifetimes.checkClient(e.Conn)
	case tlsserver.Ended:
		l.ended(e)
	case tlsserver.Refused:
		attrs := []any{"peer", e.Peer.String(), "listener", e.Listener.String(), "reason", string(e.Reason), "err", e.Err}
		l.log.Info("connection refused", append(attrs, limitAttrs(e.Reason)...)...)
	case tlsserver.AcceptFailed:
		l.log.Warn("accepting connections fails, trying again", "listener", e.Listener.String(), "err", e.Err, "after", e.Delay)
	case tlsserver.TrustChanged:
		if e.Ended > 0 {
			l.log.Warn("open connections were ended: their clients are revoked, or refused by the policy", "count", e.Ended)
		}
	case tlsserver.TicketKeysFailed:
		l.log.Warn("sessions may not outlast this process, trying again in ten minutes", "err", e.Err)
	}
}

func (l connLog) ended(e tlsserver.Ended) {
	c := e.Conn
	attrs := append([]any{"peer", peer(c), "reason", string(e.Reason)}, limitAttrs(e.Reason)...)
	if proxy := c.ProxyAddr(); proxy != nil {
		attrs = append(attrs, "proxy", proxy.String())
	}
	if looks := e.LooksLike(); looks != "" {
		attrs = append(attrs, "looks_like", looks)
	}
	if e.Err != nil {
		attrs = append(attrs, "err", e.Err)
	}
	if cs := c.TLS(); cs != nil {
		attrs = append(attrs, "id", orDash(c.ID()), "identity", orDash(c.Identity().String()), "sni", orDash(c.ServerName()),
			"tls", tls.VersionName(cs.Version), "group", orDash(groupName(cs)), "alpn", orDash(cs.NegotiatedProtocol), "resumed", cs.DidResume)
	} else if name := c.ServerName(); name != "" {
		attrs = append(attrs, "sni", name)
	}
	if cert := e.Certificate(); cert != nil {
		attrs = append(attrs, "subject", cert.Subject.String(), "serial", cert.SerialNumber.Text(16), "issuer", cert.Issuer.String())
	}
	for _, attr := range c.Attrs() {
		attrs = append(attrs, attr)
	}
	attrs = append(attrs, "in", c.BytesRead(), "out", c.BytesWritten(), "duration", e.Duration.Round(time.Microsecond))
	l.log.Info("connection ended", attrs...)
}

// peer is the client's address; on Unix sockets, which have none, the socket's.
func peer(c *tlsserver.Conn) string {
	if a := c.RemoteAddr().String(); a != "" && a != "@" {
		return a
	}
	return "unix:" + c.LocalAddr().String()
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// groupName is the key exchange group, empty where none was negotiated.
func groupName(cs *tls.ConnectionState) string {
	if cs.CurveID == 0 {
		return ""
	}
	return tlsclient.GroupName(cs.CurveID)
}

// postQuantum reports whether a group is a hybrid with ML-KEM (FIPS 203).
func postQuantum(group tls.CurveID) bool {
	switch group {
	case tls.X25519MLKEM768, tls.SecP256r1MLKEM768, tls.SecP384r1MLKEM1024:
		return true
	}
	return false
}

// A dataLog also writes a line for each read and write.
type dataLog struct{ connLog }

// maxLogged is how many bytes of a read or write are logged.
const maxLogged = 256

func (l dataLog) ObserveData(c *tlsserver.Conn, d tlsserver.Direction, b []byte) {
	message := "received"
	if d == tlsserver.Sent {
		message = "sent"
	}
	shown := b[:min(len(b), maxLogged)]
	attrs := []any{"peer", peer(c), "bytes", len(b), "text", escape(shown), "hex", hex.EncodeToString(shown)}
	if more := len(b) - len(shown); more > 0 {
		attrs = append(attrs, "more", more)
	}
	l.log.Info(message, attrs...)
}

// escape writes bytes as text with Go's escapes, without the quotes.
func escape(b []byte) string {
	quoted := strconv.QuoteToASCII(string(b))
	return quoted[1 : len(quoted)-1]
}

var _ tlsserver.DataObserver = dataLog{}
