package tlsserver_test

import (
	"crypto/tls"
	"testing"

	"tcps/tlsserver/tlstest"
)

// A server with another's keys takes its sessions, and one with keys that cannot
// be read goes on with its own.
func TestTicketKeysGoToAnotherServer(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		first := tlstest.NewUnstartedServer(t, greetEcho)
		first.Start()
		config := clientConfig(first, version)
		config.ClientSessionCache = oneSession{tls.NewLRUClientSessionCache(1)}
		if cs, err := enter(first, config); err != nil || cs.DidResume {
			t.Fatalf("the first visit: %v", err)
		}
		second := twin(t, first, nil)
		second.Start()
		if err := second.Config.ImportTicketKeys(first.Config.ExportTicketKeys()); err != nil {
			t.Fatal(err)
		}
		if err := second.Config.ImportTicketKeys([]byte("no keys")); err == nil {
			t.Error("a text that is none was taken for keys")
		}
		if cs, err := enter(second, config); err != nil || !cs.DidResume {
			t.Errorf("at the second server: %v, resumed %v", err, cs != nil && cs.DidResume)
		}
	})
}

func TestNoTicketsNoKeys(t *testing.T) {
	s := tlstest.NewUnstartedServer(t, greetEcho)
	s.Config.SessionTicketsDisabled = true
	s.Start()
	if keys := s.Config.ExportTicketKeys(); keys != nil {
		t.Errorf("a server without tickets has keys: %q", keys)
	}
}
