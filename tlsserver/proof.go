package tlsserver

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"time"
)

// Prove has the server complete a handshake with itself, over memory, as a
// client that asks for name (empty: for none), and returns what that client
// saw: PeerCertificates is the chain that is really served, whose key has
// signed the handshake. It is judged by nobody: whether it is right for name is
// the caller's to say. Of certificates with several kinds of keys for a name it
// sees the one that is preferred.
//
// The handshake goes through the server's own steps, with its versions,
// protocols and check of names, but it needs no client certificate, is not
// observed, counted, limited or resumed, and reaches no Handler. It works at
// any time after SetTrust, also before Serve and after Close. Where ctx ends
// first it waits for the source, which may look at the ctx of its hello.
func (s *Server) Prove(ctx context.Context, name string) (*tls.ConnectionState, error) {
	if s.trust.Load() == nil {
		return nil, ErrNoTrust
	}
	cs, err := s.prove(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("tlsserver: prove what is served for %q: %w", name, err)
	}
	return cs, nil
}

func (s *Server) prove(ctx context.Context, name string) (*tls.ConnectionState, error) {
	c, far := s.internalPipe()
	defer far.Close()
	c.internal = internalConfig
	served := make(chan error, 1)
	go func() {
		defer c.stream.Raw.Conn.Close()
		served <- c.shakeInternally(ctx)
	}()
	client := tls.Client(far, s.internalClient(name))
	err := client.HandshakeContext(ctx)
	if err != nil {
		far.Close()
	}
	switch serverErr := <-served; {
	case serverErr != nil && err != nil:
		return nil, fmt.Errorf("%w; its client: %w", serverErr, err)
	case serverErr != nil:
		return nil, serverErr
	case err != nil:
		return nil, err
	}
	cs := client.ConnectionState()
	return &cs, nil
}

// internalPipe is a connection of the server's with itself, and its other end.
func (s *Server) internalPipe() (*Conn, net.Conn) {
	near, far := net.Pipe()
	if timeout := s.handshakeTimeout(); timeout > 0 {
		near.SetDeadline(time.Now().Add(timeout))
		far.SetDeadline(time.Now().Add(timeout))
	}
	return newConn(s, near, terminated), far
}

// shakeInternally is the server's side of an internal connection.
func (c *Conn) shakeInternally(ctx context.Context) (err error) {
	defer func() { err = recovered(recover(), err) }()
	return c.stream.TLS.HandshakeContext(ctx)
}

// internalClient speaks what the server is set to.
func (s *Server) internalClient(name string) *tls.Config {
	return &tls.Config{
		ServerName:         name,
		MinVersion:         s.minVersion(),
		MaxVersion:         s.maxVersion(),
		CipherSuites:       s.trust.Load().others.config.CipherSuites,
		NextProtos:         s.NextProtos,
		InsecureSkipVerify: true, // it asks what is served, and trusts nobody with anything
		VerifyConnection:   func(tls.ConnectionState) error { return nil },
	}
}

// internalConfig is a configuration for a client that is the server itself.
func internalConfig(r *ruling) *tls.Config {
	config := r.config.Clone()
	config.ClientAuth, config.VerifyConnection = tls.NoClientCert, nil
	config.SessionTicketsDisabled = true
	return config
}
