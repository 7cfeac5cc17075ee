package storagetest_test

import (
	"testing"

	"github.com/caddyserver/certmagic"
	"go.uber.org/goleak"

	"tcps/certs/storagetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestMemory(t *testing.T) {
	storagetest.Run(t, func(*testing.T) func() certmagic.Storage {
		var m storagetest.Memory
		return func() certmagic.Storage { return &m }
	})
}

// A Faulty that never fails is the storage that it is made of.
func TestFaulty(t *testing.T) {
	storagetest.Run(t, func(*testing.T) func() certmagic.Storage {
		var m storagetest.Memory
		never := func(storagetest.Op, string, storagetest.Moment) bool { return false }
		return func() certmagic.Storage { return &storagetest.Faulty{Storage: &m, Fail: never} }
	})
}
