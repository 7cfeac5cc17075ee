package probe

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tcps/internal/reason"
)

// oneWay is a net.Conn that has something to say, and hears nothing.
type oneWay struct{ io.Reader }

func (oneWay) Write(b []byte) (int, error)      { return len(b), nil }
func (oneWay) Close() error                     { return nil }
func (oneWay) LocalAddr() net.Addr              { return nil }
func (oneWay) RemoteAddr() net.Addr             { return nil }
func (oneWay) SetDeadline(time.Time) error      { return nil }
func (oneWay) SetReadDeadline(time.Time) error  { return nil }
func (oneWay) SetWriteDeadline(time.Time) error { return nil }

// unread is a net.Conn of which something was read already.
type unread struct {
	net.Conn
	r io.Reader
}

func (u unread) Read(b []byte) (int, error) { return u.r.Read(b) }

// serve has every connection served until the test ends, and returns who asks
// there. number counts connections from 1.
func serve(t *testing.T, each func(c net.Conn, number int)) *Prober {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for number := 1; ; number++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer c.Close()
				each(c, number)
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		serving.Wait()
	})
	return &Prober{ServerName: "localhost", Timeout: 5 * time.Second, Dial: func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", l.Addr().String())
	}}
}

// serveTLS is serve with crypto/tls.
func serveTLS(t *testing.T, config *tls.Config) *Prober {
	return serve(t, func(c net.Conn, _ int) {
		conn := tls.Server(c, config)
		if conn.Handshake() == nil {
			io.Copy(io.Discard, conn)
			conn.Close()
		}
	})
}

func certificate(t *testing.T, useRSA bool) tls.Certificate {
	t.Helper()
	var cert tls.Certificate
	var public any
	if useRSA {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			t.Fatal(err)
		}
		cert.PrivateKey, public = key, key.Public()
	} else {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		cert.PrivateKey, public = key, key.Public()
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"localhost"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	cert.Certificate = [][]byte{der}
	return cert
}

func suiteNames(suites []Suite) (names []string) {
	for _, s := range suites {
		names = append(names, s.Name)
	}
	return names
}

func groupNames(groups []Group) (names []string) {
	for _, g := range groups {
		names = append(names, g.Name)
	}
	return names
}

// What crypto/tls is told to accept is what is found, in each version.
func TestSuitesAndGroupsOfAServerAreFound(t *testing.T) {
	taken := []uint16{tls.TLS_RSA_WITH_RC4_128_SHA, tls.TLS_RSA_WITH_3DES_EDE_CBC_SHA, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}
	p := serveTLS(t, &tls.Config{
		Certificates: []tls.Certificate{certificate(t, true)}, MinVersion: tls.VersionTLS10, CipherSuites: taken,
		CurvePreferences: []tls.CurveID{tls.CurveP384, tls.X25519MLKEM768},
	})
	for version, want := range map[uint16]string{
		tls.VersionTLS10: "TLS_RSA_WITH_RC4_128_SHA TLS_RSA_WITH_3DES_EDE_CBC_SHA",
		tls.VersionTLS11: "TLS_RSA_WITH_RC4_128_SHA TLS_RSA_WITH_3DES_EDE_CBC_SHA",
		tls.VersionTLS12: "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 TLS_RSA_WITH_RC4_128_SHA TLS_RSA_WITH_3DES_EDE_CBC_SHA",
		tls.VersionTLS13: "TLS_AES_128_GCM_SHA256 TLS_AES_256_GCM_SHA384 TLS_CHACHA20_POLY1305_SHA256",
	} {
		v, err := p.Version(t.Context(), version)
		if err != nil {
			t.Fatalf("%s: %v", VersionName(version), err)
		}
		found, err := p.Suites(t.Context(), v)
		got, wanted := suiteNames(found), strings.Fields(want)
		slices.Sort(got)
		slices.Sort(wanted)
		if err != nil || !slices.Equal(got, wanted) {
			t.Errorf("%s: found %q, %v, want %q", VersionName(version), got, err, wanted)
		}
		groups, err := p.Groups(t.Context(), version, found)
		wanted = map[uint16][]string{tls.VersionTLS12: {"secp384r1"}, tls.VersionTLS13: {"X25519MLKEM768", "secp384r1"}}[version]
		if err != nil || !slices.Equal(groupNames(groups), wanted) {
			t.Errorf("%s: found the groups %q, %v, want %q", VersionName(version), groupNames(groups), err, wanted)
		}
	}
	if _, err := p.Version(t.Context(), ssl30); !refused(err) {
		t.Errorf("SSL 3.0: %v, want a refusal", err)
	}
}

// A server of SSL 3.0 that answers with literal bytes.
func TestSSL3IsFound(t *testing.T) {
	p := serve(t, func(c net.Conn, _ int) {
		io.ReadFull(c, make([]byte, 5))
		io.WriteString(c, "\x16\x03\x00\x00\x2a\x02\x00\x00\x26\x03\x00"+random+"\x00\x00\x05\x00")
		io.Copy(io.Discard, c)
	})
	v, err := p.Version(t.Context(), ssl30)
	if err != nil || v.first != 5 || v.SecureRenegotiation {
		t.Errorf("SSL 3.0: %+v, %v", v, err)
	}
	_, err = p.Version(t.Context(), tls.VersionTLS12)
	if r, ok := errors.AsType[*Refusal](err); !ok || r.Version != ssl30 || r.Error() != "it would speak SSL 3.0 instead" {
		t.Errorf("TLS 1.2: %v", err)
	}
}

// Some servers close the connection where others send an alert: that is a refusal
// as long as they still take what they took before.
func TestClosingIsARefusalOnlyOfAServerThatIsStillThere(t *testing.T) {
	config := &tls.Config{Certificates: []tls.Certificate{certificate(t, false)}}
	tired := false
	var mu sync.Mutex
	p := serve(t, func(c net.Conn, _ int) {
		mu.Lock()
		gone := tired
		mu.Unlock()
		head := make([]byte, 5)
		if _, err := io.ReadFull(c, head); err != nil || gone || head[2] == 0 { // SSL 3.0
			return
		}
		tls.Server(unread{c, io.MultiReader(bytes.NewReader(head), c)}, config).Handshake()
	})
	v, err := p.Version(t.Context(), tls.VersionTLS12)
	if err != nil {
		t.Fatal(err)
	}
	_, err = p.Version(t.Context(), ssl30)
	if r, ok := errors.AsType[*Refusal](err); !ok || r.Error() != "it closes the connection" || !refused(err) {
		t.Errorf("SSL 3.0: %v, want a refusal", err)
	}
	mu.Lock()
	tired = true
	mu.Unlock()
	found, err := p.Suites(t.Context(), v)
	if err == nil || refused(err) || !strings.Contains(err.Error(), "it took before") || len(found) != 1 {
		t.Errorf("a server that has had enough: %q, %v", suiteNames(found), err)
	}
}

func TestWhatWasNotOfferedIsMalformed(t *testing.T) {
	p := serve(t, func(c net.Conn, _ int) {
		io.ReadFull(c, make([]byte, 5))
		io.WriteString(c, record(hello12))
		io.Copy(io.Discard, c)
	})
	v, err := p.Version(t.Context(), tls.VersionTLS12)
	if err != nil {
		t.Fatal(err)
	}
	found, err := p.Suites(t.Context(), v)
	if known, ok := errors.AsType[*reason.Error](err); !ok || known.Reason != reason.Malformed || len(found) != 1 {
		t.Errorf("the same suite again: %q, %v", suiteNames(found), err)
	}
}

func TestASilentServerIsATimeout(t *testing.T) {
	p := serve(t, func(c net.Conn, _ int) { io.Copy(io.Discard, c) })
	p.Timeout = 50 * time.Millisecond
	if _, err := p.Version(t.Context(), tls.VersionTLS13); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a hello: %v, want a timeout", err)
	}
	if o := p.Handshake(t.Context(), Handshake{}); !errors.Is(o.Err, context.DeadlineExceeded) || o.Remote == nil {
		t.Errorf("a handshake: %v, want a timeout", o.Err)
	}
	if n := p.Connections(); n != 2 {
		t.Errorf("%d connections were counted, want 2", n)
	}
}

func TestNoMoreConnectionsAreOpenThanAllowed(t *testing.T) {
	var mu sync.Mutex
	open, most := 0, 0
	p := serve(t, func(c net.Conn, _ int) {
		mu.Lock()
		open++
		most = max(most, open)
		mu.Unlock()
		io.ReadFull(c, make([]byte, 5))
		mu.Lock()
		open--
		mu.Unlock()
		io.WriteString(c, "\x15\x03\x01\x00\x02\x02\x46")
	})
	p.MaxConns = 2
	var asking sync.WaitGroup
	for range 20 {
		asking.Go(func() { p.Version(t.Context(), tls.VersionTLS12) })
	}
	asking.Wait()
	if most > 2 || p.Connections() != 20 {
		t.Errorf("%d were open at once, of %d", most, p.Connections())
	}
}
