package main

import (
	"crypto/x509"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/urfave/cli/v2"

	"tcps/certs"
	"tcps/internal/endpoint"
	"tcps/tlsclient"
)

// dialerOf is the dialer that the flags of connect ask for. What contradicts
// itself or the target is refused: first of the way there, then of TLS.
func (p *program) dialerOf(c *cli.Context, target endpoint.Endpoint) (*tlsclient.Dialer, error) {
	d := &tlsclient.Dialer{
		ServerName: c.String("name"),
		Insecure:   c.Bool("insecure"),
		Timeout:    durationOf(c, "timeout"),
	}
	if c.String("on-eof") == "exit" {
		d.LingerTimeout = time.Second // at once, but what was sent should arrive
	}
	err := dialWay(c, d, target)
	switch {
	case err != nil:
	case target.TLS():
		err = p.dialSecurely(c, d, target)
	default:
		err = checkPlain(c, target)
	}
	if err != nil {
		return nil, err
	}
	return d, dialStartTLS(c, d, target)
}

// checkPlain refuses the flags that are about TLS.
func checkPlain(c *cli.Context, target endpoint.Endpoint) error {
	for _, flag := range slices.Concat([]string{"ca", "cert", "key", "name", "insecure", "crl", "crl-from", "crl-missing", "crl-stale", "require-ocsp-staple"}, keyFlagNames, flagNames(connectTLSFlags())) {
		if c.IsSet(flag) {
			return misuse("use tcps:// or unixs://, or leave the flag out", "--%s with %s: there is no TLS on a plain connection", flag, target)
		}
	}
	return nil
}

// dialSecurely sets whom the dialer trusts and what it negotiates.
func (p *program) dialSecurely(c *cli.Context, d *tlsclient.Dialer, target endpoint.Endpoint) error {
	if err := dialKeys(c, d); err != nil {
		return err
	}
	if target.IsUnix() && d.ServerName == "" && !d.Insecure && !knowsByKey(c, d) {
		return misuse("say which name the server's certificate has: --name localhost", "%s: a Unix socket has no name to verify a certificate by", target)
	}
	if d.Insecure {
		if err := checkInsecure(c); err != nil {
			return err
		}
		p.warn("--insecure takes any certificate: whoever is in between can read and change everything")
	}
	if err := p.dialTrust(c, d); err != nil {
		return err
	}
	if err := p.dialTLS(c, d); err != nil {
		return err
	}
	return p.dialRevocation(c, d)
}

// networkFlags say which way to dial.
func networkFlags(category string) []cli.Flag {
	return []cli.Flag{
		boolFlag(category, "4", "IPv4 only"),
		boolFlag(category, "6", "IPv6 only"),
		stringFlag(category, "bind", "", "`ADDRESS` to connect from"),
	}
}

// dialWay sets the way to a server: from where, and through what.
func dialWay(c *cli.Context, d *tlsclient.Dialer, target endpoint.Endpoint) error {
	if err := dialNetwork(c, d); err != nil {
		return err
	}
	if target.IsUnix() && (d.Network != "" || d.LocalAddr.IsValid()) {
		return misuse("", "-4, -6 and --bind mean nothing on the Unix socket %s", target)
	}
	return dialVia(c, d, target)
}

func dialNetwork(c *cli.Context, d *tlsclient.Dialer) error {
	switch {
	case c.Bool("4") && c.Bool("6"):
		return misuse("leave one of them out", "-4 together with -6 leaves no address")
	case c.Bool("4"):
		d.Network = "tcp4"
	case c.Bool("6"):
		d.Network = "tcp6"
	}
	bind := c.String("bind")
	if bind == "" {
		return nil
	}
	addr, err := netip.ParseAddr(bind)
	if err != nil {
		return misuse("name an address of this machine", "flag --bind: %q is not an IP address", bind)
	}
	d.LocalAddr = addr
	return nil
}

// dialTrust sets whom the dialer trusts, and what it presents.
func (p *program) dialTrust(c *cli.Context, d *tlsclient.Dialer) error {
	pairs, err := pairsOf(c, "", p.passphrase(c))
	if err != nil {
		return err
	}
	if len(pairs) > 0 {
		files, err := clientFiles(nil, pairs)
		if err != nil {
			return err
		}
		p.warn(files.Warnings()...)
		d.Source = files
	}
	if cas := list(c, "ca"); len(cas) > 0 {
		pool, warnings, err := certs.LoadPool(cas...)
		if err != nil {
			return fileFailure(err, makesRoot)
		}
		p.warn(warnings...)
		d.RootCAs = pool
		return nil
	}
	if !knowsByKey(c, d) {
		d.RootCAs = trustedRoots(c)
	}
	return nil
}

// checkForClients refuses a certificate that no server takes from a client, as
// those are that ACME authorities issue.
func checkForClients(file string, leaf *x509.Certificate) error {
	uses := leaf.ExtKeyUsage
	if len(uses)+len(leaf.UnknownExtKeyUsage) == 0 || slices.Contains(uses, x509.ExtKeyUsageClientAuth) || slices.Contains(uses, x509.ExtKeyUsageAny) {
		return nil
	}
	return failure(fmt.Errorf("certificate %q is not for clients (extended key usage): servers refuse it from one", file),
		"public authorities no longer issue certificates for clients; the local one does: tcps certs issue --client NAME")
}

// trustedRoots are the system's authorities and the local one; nil means the
// system's alone.
func trustedRoots(c *cli.Context) *x509.CertPool {
	roots, err := localRoots(c)
	if err != nil {
		return nil
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	for _, root := range roots {
		pool.AddCert(root)
	}
	return pool
}

func (p *program) warn(warnings ...string) {
	for _, w := range warnings {
		fmt.Fprintln(p.err, "tcps: warning:", w)
	}
}

// localRoots are the roots of the local authority, if they may be trusted
// without being asked for.
func localRoots(c *cli.Context) ([]*x509.Certificate, error) {
	dir, err := authorityDir(c)
	if err != nil {
		return nil, err
	}
	return certs.OwnRoot(dir)
}
