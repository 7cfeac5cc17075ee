package tlsclient_test

import (
	"context"
	"crypto/tls"
	"errors"
	"strings"
	"testing"
	"time"

	"tcps/tlsclient"
)

func TestResumeSaysWhetherASessionIsResumed(t *testing.T) {
	a := newAuthority(t)
	versions(t, func(t *testing.T, version uint16) {
		endpoint := "tcps://" + serveTLS(t, a.config(t), greet)
		d := &tlsclient.Dialer{RootCAs: a.pool(), MaxVersion: version}
		conn, err := d.Resume(t.Context(), endpoint)
		if !closed(t, conn, err).TLS().DidResume {
			t.Error("not resumed, and no error")
		}
		wantGreeting(t, conn)

		// what it learns is for later runs too, and what is there already plays no part
		k := newKeeper(t, "")
		d.Sessions = k.SessionFile
		for range 2 {
			conn, err = d.Resume(t.Context(), endpoint)
			wantGreeting(t, closed(t, conn, err))
		}
		wantResumed(t, true, d, endpoint)
		k.wantWarnings(t)
	})
}

func TestResumeSaysWhyNot(t *testing.T) {
	a := newAuthority(t)
	noTickets := a.config(t)
	noTickets.SessionTicketsDisabled = true
	forgets := a.config(t)
	forgets.UnwrapSession = func([]byte, tls.ConnectionState) (*tls.SessionState, error) { return nil, nil }
	ends := func(c *tls.Conn) { c.Handshake() }
	for _, c := range []struct {
		name    string
		config  *tls.Config
		handle  func(*tls.Conn)
		version uint16
		want    string
	}{
		{"tickets off, 1.2", noTickets, greet, tls.VersionTLS12, "gave no session ticket in the handshake"},
		{"tickets off, 1.3", noTickets, greet, tls.VersionTLS13, "no session ticket came within 50ms of the handshake"},
		{"tickets off, and it ends", noTickets, ends, tls.VersionTLS13, "ended the connection, and had sent no session ticket"},
		{"it forgets, 1.2", forgets, greet, tls.VersionTLS12, "the server made a full handshake all the same"},
		{"it forgets, 1.3", forgets, greet, tls.VersionTLS13, "the server made a full handshake all the same"},
	} {
		t.Run(c.name, func(t *testing.T) {
			endpoint := "tcps://" + serveTLS(t, c.config, c.handle)
			d := &tlsclient.Dialer{RootCAs: a.pool(), MaxVersion: c.version}
			if strings.Contains(c.want, "50ms") {
				d.Timeout = 100 * time.Millisecond
			}
			_, err := d.Resume(t.Context(), endpoint)
			wantFailure(t, err, "not-resumed", 5, "resume a session with "+endpoint)
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v: want it to say %q", err, c.want)
			}
		})
	}
	plain := "tcp://" + serve(t, untilEnd)
	_, err := new(tlsclient.Dialer).Resume(t.Context(), plain)
	wantFailure(t, err, "not-resumed", 5, "resume a session with "+plain)
}

// With TLS 1.3 a refusal of ours comes while the ticket is waited for.
func TestResumeTellsARefusalFromAMissingTicket(t *testing.T) {
	a := newAuthority(t)
	config := a.config(t)
	config.ClientAuth = tls.RequireAnyClientCert
	endpoint := "tcps://" + serveTLS(t, config, func(c *tls.Conn) { c.Handshake() })
	_, err := (&tlsclient.Dialer{RootCAs: a.pool()}).Resume(t.Context(), endpoint)
	wantFailure(t, err, "peer-refused-us:certificate_required", 10, "read from "+endpoint)
}

func TestTheEndOfItsContextEndsResume(t *testing.T) {
	a := newAuthority(t)
	config := a.config(t)
	config.SessionTicketsDisabled = true
	ctx, cancel := context.WithCancel(t.Context())
	endpoint := "tcps://" + serveTLS(t, config, func(c *tls.Conn) {
		c.Handshake()
		cancel() // the client's side of it may be over or not
		untilEnd(c)
	})
	start := time.Now()
	_, err := (&tlsclient.Dialer{RootCAs: a.pool(), Timeout: time.Hour}).Resume(ctx, endpoint)
	if failed, ok := errors.AsType[*tlsclient.Error](err); !ok || failed.Reason != tlsclient.ReasonShutdown {
		t.Errorf("ended with %v, want shutdown", err)
	}
	took(t, start, "the end")
}
