package tlsclient_test

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"io"
	"strings"
	"testing"
	"time"

	"tcps/certs"
	"tcps/internal/pin"
	"tcps/tlsclient"
	"tcps/tlsserver/service"
	"tcps/tlsserver/tlstest"
)

// pinOf is the pin of what a server presents.
func pinOf(t *testing.T, s *tlstest.Server) [sha256.Size]byte {
	t.Helper()
	c := s.Dial(s.Dialer())
	defer c.Close()
	return pin.Of(c.TLS().PeerCertificates[0])
}

func TestAPinAloneTakesExactlyThatKeyWhoeverSignedIt(t *testing.T) {
	a := newAuthority(t)
	config := &tls.Config{Certificates: []tls.Certificate{a.issue(t, func(c *x509.Certificate) {
		c.DNSNames, c.IPAddresses, c.NotAfter = []string{"other.test"}, nil, time.Now().Add(-time.Minute)
	})}}
	leaf, err := x509.ParseCertificate(config.Certificates[0].Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	endpoint := "tcps://" + serveTLS(t, config, greet)
	wrong, right := pin.Pin{1}, pin.Of(leaf)
	d := &tlsclient.Dialer{Pins: []pin.Pin{wrong, right}}
	c, err := d.Dial(t.Context(), endpoint)
	if err != nil {
		t.Fatalf("the key is pinned, and refused: %v", err)
	}
	c.Close()
	d.Pins = d.Pins[:1]
	_, err = d.Dial(t.Context(), endpoint)
	wantFailure(t, err, "pin", 7, "shake hands with "+endpoint)
	if !strings.Contains(err.Error(), pin.String(right)) {
		t.Errorf("%v: does not say which key came", err)
	}
}

func TestAPinAndAnAuthorityMustBothHold(t *testing.T) {
	s := tlstest.NewServer(t, service.Echo())
	foreign := newAuthority(t)
	right := pinOf(t, s)
	d := s.Dialer()
	d.Pins = []pin.Pin{right}
	s.Dial(d).Close()
	d.Pins = []pin.Pin{{1}}
	_, err := d.Dial(t.Context(), s.Endpoint)
	wantFailure(t, err, "pin", 7, "shake hands with "+s.Endpoint)
	d.Pins, d.RootCAs = []pin.Pin{right}, foreign.pool()
	_, err = d.Dial(t.Context(), s.Endpoint)
	wantFailure(t, err, "untrusted", 6, "shake hands with "+s.Endpoint)
}

func TestPinsHoldOnResumedSessions(t *testing.T) {
	s := tlstest.NewServer(t, service.Greet("hello\r\n", service.Discard()))
	right := pinOf(t, s)
	versions(t, func(t *testing.T, version uint16) {
		for _, alone := range []bool{true, false} {
			d := s.Dialer()
			if alone {
				d.RootCAs = nil
			}
			d.MaxVersion, d.Pins, d.Sessions = version, []pin.Pin{right}, tls.NewLRUClientSessionCache(0)
			for i := range 2 {
				c := s.Dial(d)
				io.ReadFull(c, make([]byte, 7)) // the ticket comes with it
				if got := c.TLS().DidResume; got != (i == 1) {
					t.Errorf("alone %v: connection %d is resumed: %v", alone, i+1, got)
				}
				c.Close()
			}
			d.Pins = []pin.Pin{{1}}
			_, err := d.Dial(t.Context(), s.Endpoint)
			wantFailure(t, err, "pin", 7, "shake hands with "+s.Endpoint)
		}
	})
}

func TestPinsAreNotMixedWithWhatContradictsThem(t *testing.T) {
	s := tlstest.NewServer(t, service.Echo())
	for name, d := range map[string]*tlsclient.Dialer{
		"Insecure":   {Pins: []pin.Pin{{1}}, Insecure: true},
		"Revocation": {Pins: []pin.Pin{{1}}, Revocation: new(certs.Revocation)},
	} {
		_, err := d.Dial(t.Context(), s.Endpoint)
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s with pins alone: %v, want a refusal that names it", name, err)
		}
	}
}
