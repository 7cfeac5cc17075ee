package service

import (
	"errors"
	"fmt"
	"strings"

	"tcps/internal/reason"
	"tcps/tlsserver"
)

// Routes lead clients to targets by what their ClientHello says. A server name
// decides before a protocol does, an exact one before a wildcard.
type Routes struct {
	// Names are the targets by server name (SNI), as tlsserver.ServerName writes it:
	// www.example.org, or *.example.org for any one label.
	Names map[string]*Targets

	// Protos are the targets by application protocol (ALPN): the one that was
	// agreed on; where TLS is passed on, the first that the client offers and
	// that has a target.
	Protos map[string]*Targets
}

// find is where a connection goes; nil: nowhere.
func (r *Routes) find(c *tlsserver.Conn) *Targets {
	name := strings.ToLower(c.ServerName())
	if t := r.Names[name]; t != nil {
		return t
	}
	if _, parent, found := strings.Cut(name, "."); found {
		if t := r.Names["*."+parent]; t != nil {
			return t
		}
	}
	protos := c.OfferedProtos()
	if cs := c.TLS(); cs != nil {
		protos = []string{cs.NegotiatedProtocol}
	}
	for _, proto := range protos {
		if t := r.Protos[proto]; t != nil {
			return t
		}
	}
	return nil
}

// refusal is the error of a client that no route is for.
func (r *Routes) refusal(c *tlsserver.Conn) error {
	if len(r.Names) == 0 {
		return tlsserver.WithReason(reason.ALPN, fmt.Errorf("no route for protocols %q", c.OfferedProtos()))
	}
	if c.ServerName() == "" {
		return tlsserver.WithReason(reason.SNI, errors.New("no route for a client that asks for no name"))
	}
	return tlsserver.WithReason(reason.SNI, fmt.Errorf("no route for %q", c.ServerName()))
}
