package main

import (
	"context"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"log/slog"
	"strconv"
	"time"

	"tcps/tlsserver"
)

// A connLog is the Observer that writes one line when a connection has ended,
// or was refused, and warns of clients' certificates that will end soon.
type connLog struct {
	log       *slog.Logger
	lines     *lineRate
	lifetimes *lifetimes
}

func (l connLog) Observe(e tlsserver.Event) {
	switch e := e.(type) {
	case tlsserver.Established:
		l.lifetimes.checkClient(e.Conn)
	case tlsserver.Ended:
		l.ended(e)
	case tlsserver.Refused:
		if l.lines.take(e.Reason) {
			attrs := []any{"peer", e.Peer.String(), "listener", e.Listener.String(), "reason", string(e.Reason), "err", e.Err}
			l.log.Info("connection refused", append(attrs, limitAttrs(e.Reason)...)...)
		}
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

// levelOf is debug for what happens all the time and is nobody's fault: health
// checks and port scans. A load balancer that sends PROXY headers to who does not
// expect them is a mistake.
func levelOf(e tlsserver.Ended) slog.Level {
	_, stranger := errors.AsType[tls.RecordHeaderError](e.Err)
	if e.Reason == tlsserver.ReasonClosedBeforeHello || stranger && e.Reason == tlsserver.ReasonNotTLS && e.LooksLike() != "proxy-protocol" {
		return slog.LevelDebug
	}
	return slog.LevelInfo
}

func (l connLog) ended(e tlsserver.Ended) {
	level := levelOf(e)
	if !l.log.Enabled(context.Background(), level) || !l.lines.take(e.Reason) {
		return
	}
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
	l.log.Log(context.Background(), level, "connection ended", attrs...)
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
