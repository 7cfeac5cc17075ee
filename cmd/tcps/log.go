package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"os"
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

// logFlags are those of everything that serves.
func logFlags() []cli.Flag {
	return []cli.Flag{
		stringFlag("Log", "log", "auto", "`FORM` that messages have: auto, text or json"),
		stringFlag("Log", "log-level", "info", "lowest `LEVEL` of messages: debug, info, warn or error; port scans and health checks are at debug"),
		countFlag("Log", "log-rate", 100, "`NUMBER` of lines a second about connections that end for one reason; how many more there were is said"),
		boolFlag("Log", "log-data", "log what arrives and leaves, at most 256 bytes of each read and write: that data may be private"),
	}
}

func newLogger(c *cli.Context, w io.Writer) (*slog.Logger, error) {
	var level slog.Level
	switch text := c.String("log-level"); text {
	case "debug", "info", "warn", "error":
		level.UnmarshalText([]byte(text))
	default:
		return nil, misuse("", "flag --log-level: %q is none of debug, info, warn and error", text)
	}
	switch form := c.String("log"); form {
	case "json":
		return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level})), nil
	case "text":
		return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: level})), nil
	case "auto":
		if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
			return slog.New(terminalHandler(w, level, os.Getenv("NO_COLOR") == "")), nil
		}
		return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: level})), nil
	default:
		return nil, misuse("", "flag --log: %q is none of auto, text and json", form)
	}
}

// terminalHandler is the form for terminals. tint lets escape sequences
// through, and some of what is logged was chosen by strangers.
func terminalHandler(w io.Writer, level slog.Level, colour bool) slog.Handler {
	return tint.NewTextHandler(w, &tint.Options{
		Level:      level,
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
