package certs_test

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"testing"

	"tcps/certs"
)

// presented shakes hands over TCP and returns the certificates that server and client got to see of each other.
func presented(t *testing.T, source certs.Source, client *tls.Config, serverChange func(*tls.Config)) (ofServer, ofClient *x509.Certificate) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	config := &tls.Config{GetCertificate: source.Certificate}
	if serverChange != nil {
		serverChange(config)
	}
	type result struct {
		state tls.ConnectionState
		err   error
	}
	results := make(chan result, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			results <- result{err: err}
			return
		}
		defer conn.Close()
		c := tls.Server(conn, config)
		err = c.Handshake()
		results <- result{c.ConnectionState(), err}
	}()
	client.InsecureSkipVerify = true // which certificate is presented is what is tested
	client.VerifyConnection = func(tls.ConnectionState) error { return nil }
	conn, err := tls.Dial("tcp", l.Addr().String(), client)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	r := <-results
	if r.err != nil {
		t.Fatal(r.err)
	}
	if len(r.state.PeerCertificates) > 0 {
		ofClient = r.state.PeerCertificates[0]
	}
	return conn.ConnectionState().PeerCertificates[0], ofClient
}

func TestCertificateIsPickedByServerName(t *testing.T) {
	a := newAuthority(t)
	source := certs.Static(
		server(t, a, "first.test").Certificate,
		server(t, a, "*.wild.test").Certificate,
		server(t, a, "exact.wild.test", "Other.Test").Certificate,
	)
	for _, test := range []struct{ name, serverName, want string }{
		{"exact", "other.test", "exact.wild.test"},
		{"case does not matter", "OTHER.tEST", "exact.wild.test"},
		{"wildcard of one label", "any.wild.test", "*.wild.test"},
		{"exact before wildcard", "exact.wild.test", "exact.wild.test"},
		{"wildcard is one label only", "two.labels.wild.test", "first.test"},
		{"wildcard does not cover its parent", "wild.test", "first.test"},
		{"unknown name gets the first", "unknown.test", "first.test"},
		{"no name gets the first", "", "first.test"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, _ := presented(t, source, &tls.Config{ServerName: test.serverName}, nil)
			if got := c.Subject.CommonName; got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestATrailingDotOfTheServerNameDoesNotMatter(t *testing.T) {
	a := newAuthority(t)
	source := certs.Static(server(t, a, "first.test").Certificate, server(t, a, "second.test").Certificate)
	// crypto/tls strips the dot on the client and refuses it on the server; another caller may not.
	c, err := source.Certificate(&tls.ClientHelloInfo{ServerName: "second.test."})
	if err != nil || c.Leaf.Subject.CommonName != "second.test" {
		t.Errorf("got %v, %v", c, err)
	}
}

func TestCertificateIsPickedByKeyType(t *testing.T) {
	a := newAuthority(t)
	ecdsa := server(t, a, "two.test")
	rsa := issue(t, a, certs.Request{Names: []string{"two.test"}, KeyType: certs.RSA2048})
	onlyRSA := &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}}
	onlyECDSA := &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}}
	for _, test := range []struct {
		name       string
		source     certs.Source
		client     *tls.Config
		serverName string
		want       x509.PublicKeyAlgorithm
	}{
		{"first listed", certs.Static(rsa.Certificate, ecdsa.Certificate), &tls.Config{}, "two.test", x509.RSA},
		{"first listed, other order", certs.Static(ecdsa.Certificate, rsa.Certificate), &tls.Config{}, "two.test", x509.ECDSA},
		{"client knows RSA only", certs.Static(ecdsa.Certificate, rsa.Certificate), onlyRSA, "two.test", x509.RSA},
		{"client knows ECDSA only", certs.Static(rsa.Certificate, ecdsa.Certificate), onlyECDSA, "two.test", x509.ECDSA},
		{"unknown name", certs.Static(ecdsa.Certificate, rsa.Certificate), onlyRSA, "unknown.test", x509.RSA},
		{"no name", certs.Static(ecdsa.Certificate, rsa.Certificate), onlyRSA, "", x509.RSA},
	} {
		t.Run(test.name, func(t *testing.T) {
			client := test.client.Clone()
			client.ServerName = test.serverName
			if c, _ := presented(t, test.source, client, nil); c.PublicKeyAlgorithm != test.want {
				t.Errorf("got a key of type %v, want %v", c.PublicKeyAlgorithm, test.want)
			}
		})
	}
}

func TestWildcardOfAKeyTypeThatTheClientKnowsBeatsAnExactNameItDoesNot(t *testing.T) {
	a := newAuthority(t)
	source := certs.Static(
		server(t, a, "host.two.test").Certificate,
		issue(t, a, certs.Request{Names: []string{"*.two.test"}, KeyType: certs.RSA2048}).Certificate,
	)
	c, _ := presented(t, source, &tls.Config{
		ServerName: "host.two.test",
		MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256},
	}, nil)
	if c.PublicKeyAlgorithm != x509.RSA {
		t.Errorf("got a key of type %v, want RSA", c.PublicKeyAlgorithm)
	}
}

func TestClientPresentsTheCertificateThatTheServerAccepts(t *testing.T) {
	ours, theirs := newAuthority(t), newAuthority(t)
	client := certs.Static(
		issue(t, ours, certs.Request{Names: []string{"of us"}, Client: true}).Certificate,
		issue(t, theirs, certs.Request{Names: []string{"of them"}, Client: true}).Certificate,
	)
	source := certs.Static(server(t, ours, "localhost").Certificate)
	config := func() *tls.Config { return &tls.Config{GetClientCertificate: client.ClientCertificate} }

	_, c := presented(t, source, config(), func(s *tls.Config) { s.ClientAuth, s.ClientCAs = tls.RequireAndVerifyClientCert, theirs.Pool() })
	if c == nil || c.Subject.CommonName != "of them" {
		t.Errorf("presented %v, want the certificate of the authority that the server names", c)
	}
	_, c = presented(t, source, config(), func(s *tls.Config) { s.ClientAuth, s.ClientCAs = tls.RequestClientCert, newAuthority(t).Pool() })
	if c != nil {
		t.Errorf("presented %v to a server that accepts neither", c.Subject)
	}
}

func TestSourceWithoutCertificatesFailsTheHandshake(t *testing.T) {
	c, err := certs.Static().Certificate(&tls.ClientHelloInfo{ServerName: "localhost"})
	if c != nil {
		t.Errorf("got %v", c)
	}
	wantError(t, err, "no certificate")
}
