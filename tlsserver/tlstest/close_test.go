package tlstest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"tcps/tlsserver/service"
)

// A recorder is a test that keeps what it is told.
type recorder struct {
	testing.TB
	errors []string
}

func (r *recorder) Helper()        {}
func (r *recorder) Cleanup(func()) {}
func (r *recorder) Errorf(format string, args ...any) {
	r.errors = append(r.errors, fmt.Sprintf(format, args...))
}

func TestCloseNamesTheConnectionsItWaitsFor(t *testing.T) {
	told := &recorder{TB: t}
	s := NewUnstartedServer(told, service.Echo())
	s.patience = 10 * time.Millisecond
	s.Start()
	c := s.Dial(s.Dialer())
	defer c.Close()
	s.Close()
	if len(told.errors) != 1 || !strings.Contains(told.errors[0], c.LocalAddr().String()) {
		t.Errorf("Close said %q, want it to name %s", told.errors, c.LocalAddr())
	}
}
