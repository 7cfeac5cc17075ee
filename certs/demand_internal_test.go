package certs

import (
	"fmt"
	"log/slog"
	"testing"
)

func TestNamesOnDemandAreBounded(t *testing.T) {
	d, err := newDemand([]string{"*.test"})
	if err != nil {
		t.Fatal(err)
	}
	m := &Manager{demand: d, gate: newGate(slog.New(slog.DiscardHandler), true), poke: make(chan struct{}, 1)}
	for n := range maxNames - 1 {
		m.names = append(m.names, fmt.Sprintf("n%d.test", n))
	}
	for _, name := range []string{"last.test", "more.test"} {
		m.ask(name)
	}
	if !m.managed("last.test") || m.managed("more.test") {
		t.Errorf("of two more names than may be, the last %v and the one after it %v are managed", m.managed("last.test"), m.managed("more.test"))
	}
}
