package certs_test

import (
	"crypto/rand"
	"crypto/x509"
	"math/big"
	"runtime"
	"testing"
	"time"

	"tcps/certs"
)

const manySerials = 100_000

// bigList is a list of manySerials random serial numbers of 16 bytes, as public authorities have them.
func bigList(b *testing.B, issuer made) []byte {
	b.Helper()
	return crl(b, issuer, func(l *x509.RevocationList) {
		for range manySerials {
			serial := make([]byte, 16)
			rand.Read(serial)
			l.RevokedCertificateEntries = append(l.RevokedCertificateEntries, x509.RevocationListEntry{
				SerialNumber: new(big.Int).SetBytes(serial), RevocationTime: time.Now(), ReasonCode: 4,
			})
		}
	})
}

func liveHeap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// BenchmarkRevocationCheck judges a chain of two by lists of 100,000 serials, and says what these cost in memory: when
// their issuer is known or has been seen, and before.
func BenchmarkRevocationCheck(b *testing.B) {
	h := newHierarchy(b)
	der := bigList(b, h.root)
	chains := [][]*x509.Certificate{h.chain[1:]}
	before := liveHeap()
	r := load(b, certs.RevocationOptions{Lists: parseLists(b, append([]byte(nil), der...))})
	unproved := liveHeap() - before
	if err := r.Check(chains); err != nil {
		b.Fatal(err)
	}
	proved := liveHeap() - before
	b.ReportAllocs()
	for b.Loop() {
		if err := r.Check(chains); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(proved)/manySerials, "bytes/serial")
	b.ReportMetric(float64(unproved)/manySerials, "bytes/serial-before")
	runtime.KeepAlive(der)
}

// BenchmarkRevocationLoad reads such a list from a file, and checks its signature.
func BenchmarkRevocationLoad(b *testing.B) {
	h := newHierarchy(b)
	dir := b.TempDir()
	o := certs.RevocationOptions{
		Files:       []string{write(b, dir, "list.crl", bigList(b, h.root))},
		Authorities: []string{write(b, dir, "ca.pem", h.root.certPEM)},
	}
	b.ReportAllocs()
	for b.Loop() {
		load(b, o)
	}
}
