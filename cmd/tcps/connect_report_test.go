package main

import (
	"bytes"
	"crypto/tls"
	"net"
	"strings"
	"testing"
)

// An authority is named as the remedy only where one would help.
func TestConnectDoesNotAskForAnAuthorityThatWouldNotHelp(t *testing.T) {
	config, ca := fixedConfig(t)
	for name, c := range map[string]struct {
		certificate [][]byte
		hint        bool
	}{
		"not a certificate":    {[][]byte{{0x30, 0x03, 0x02, 0x01, 0x01}}, false},
		"of another authority": {config.Certificates[0].Certificate, true},
	} {
		t.Run(name, func(t *testing.T) {
			broken := config.Clone()
			broken.Certificates = []tls.Certificate{{Certificate: c.certificate, PrivateKey: config.Certificates[0].PrivateKey}}
			address := serveEach(t, func(c net.Conn, _ int) { readAll(tls.Server(c, broken)) })
			ca := ca
			if c.hint {
				_, ca = fixedConfig(t)
			}
			var out, errs bytes.Buffer
			args := []string{"connect", "--ca", ca, "--name", "localhost", "--state", t.TempDir(), address}
			if code := run(t.Context(), args, stdio{strings.NewReader(""), &out, &errs}); code != 6 {
				t.Errorf("exit status %d, want 6: %s", code, errs.String())
			}
			if got := strings.Contains(errs.String(), "--ca FILE"); got != c.hint {
				t.Errorf("names --ca: %v, want %v:\n%s", got, c.hint, errs.String())
			}
		})
	}
}
