package tlsserver

import (
	"crypto/tls"
	"fmt"
	"slices"
	"strings"
)

// secureTLS12 are crypto/tls' suites for TLS 1.2 with forward secrecy (ECDHE)
// and authenticated encryption (RFC 9325, 4.2).
var secureTLS12 = []uint16{
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
	tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
}

// TLS12CipherSuite finds a suite for Server.TLS12CipherSuites by its IANA
// name, such as TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256. The error says why a
// suite cannot be had.
func TLS12CipherSuite(name string) (uint16, error) {
	upper := strings.ToUpper(strings.TrimSpace(name))
	for _, suite := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		if suite.Name == upper {
			return suite.ID, checkTLS12(suite.ID)
		}
	}
	return 0, fmt.Errorf("unknown cipher suite %q: want IANA names, of %s", name, secureNames())
}

func checkTLS12(id uint16) error {
	name := tls.CipherSuiteName(id)
	switch {
	case slices.Contains(secureTLS12, id):
		return nil
	case strings.HasPrefix(name, "TLS_RSA_"):
		return fmt.Errorf("cipher suite %s has no forward secrecy: want one of %s", name, secureNames())
	case slices.ContainsFunc(tls.CipherSuites(), func(s *tls.CipherSuite) bool {
		return s.ID == id && slices.Equal(s.SupportedVersions, []uint16{tls.VersionTLS13})
	}):
		return fmt.Errorf("cipher suite %s belongs to TLS 1.3, whose suites are always on", name)
	default:
		return fmt.Errorf("cipher suite %s has no authenticated encryption: want one of %s", name, secureNames())
	}
}

func secureNames() string {
	names := make([]string, len(secureTLS12))
	for i, id := range secureTLS12 {
		names[i] = tls.CipherSuiteName(id)
	}
	return strings.Join(names, ", ")
}

func (s *Server) tls12CipherSuites() ([]uint16, error) {
	if s.TLS12CipherSuites == nil {
		return secureTLS12, nil
	}
	if len(s.TLS12CipherSuites) == 0 {
		return nil, fmt.Errorf("tlsserver: TLS12CipherSuites is empty: set MinVersion to TLS 1.3 to turn TLS 1.2 off")
	}
	for _, id := range s.TLS12CipherSuites {
		if err := checkTLS12(id); err != nil {
			return nil, fmt.Errorf("tlsserver: %w", err)
		}
	}
	return s.TLS12CipherSuites, nil
}
