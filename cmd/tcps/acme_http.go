package main

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"

	"tcps/certs"
)

// challengeServers answer the http challenges of all services of the process:
// they may have to be answered at the same address.
type challengeServers struct {
	mu        sync.Mutex
	byAddress map[string]*challengeServer // guarded by mu
}

// A challengeServer answers at one address.
type challengeServer struct {
	http.Server
	bound netip.AddrPort

	mu       sync.Mutex
	managers []*certs.Manager // guarded by mu
}

// add has a manager's challenges answered at an address, until done is called.
func (s *challengeServers) add(address string, m *certs.Manager) (bound netip.AddrPort, done func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	one := s.byAddress[address]
	if one == nil {
		if one, err = newChallengeServer(address); err != nil {
			return bound, nil, err
		}
		if s.byAddress == nil {
			s.byAddress = make(map[string]*challengeServer)
		}
		s.byAddress[address] = one
	}
	one.mu.Lock()
	defer one.mu.Unlock()
	one.managers = append(one.managers, m)
	return one.bound, func() { s.remove(address, m) }, nil
}

func (s *challengeServers) remove(address string, m *certs.Manager) {
	s.mu.Lock()
	defer s.mu.Unlock()
	one := s.byAddress[address]
	one.mu.Lock()
	defer one.mu.Unlock()
	one.managers = slices.DeleteFunc(one.managers, func(other *certs.Manager) bool { return other == m })
	if len(one.managers) == 0 {
		delete(s.byAddress, address)
		one.Close()
	}
}

func newChallengeServer(address string) (*challengeServer, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, failure(fmt.Errorf("listen on %s for the http challenge: %w", address, err), listenHint(err)...)
	}
	s := &challengeServer{bound: addrPort(l.Addr())}
	s.ReadTimeout, s.WriteTimeout, s.MaxHeaderBytes = 10*time.Second, 10*time.Second, 16<<10
	s.Handler = http.HandlerFunc(s.answer)
	go s.Serve(l)
	return s, nil
}

// answer asks one manager after the other: only one of them knows a challenge.
func (s *challengeServer) answer(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	managers := slices.Clone(s.managers)
	s.mu.Unlock()
	next := http.NotFoundHandler()
	for _, m := range managers {
		next = m.HTTPHandler(next)
	}
	next.ServeHTTP(w, r)
}
