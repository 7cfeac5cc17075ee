package main

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/urfave/cli/v2"

	"tcps/certs"
	"tcps/tlsclient"
)

// connectTLSFlags say what is negotiated.
func connectTLSFlags() []cli.Flag {
	return []cli.Flag{
		stringFlag("TLS", "min", "1.2", "lowest TLS `VERSION`: 1.2 or 1.3"),
		stringFlag("TLS", "max", "1.3", "highest TLS `VERSION`: 1.2 or 1.3"),
		listFlag("TLS", "groups", "key exchange `GROUP` to offer instead of all: "+strings.Join(tlsclient.GroupNames(), ", ")+""),
		listFlag("TLS", "alpn", "application `PROTOCOL` to offer, preferred first"),
		boolFlag("TLS", "alpn-required", "refuse a server that chooses no application protocol"),
		stringFlag("TLS", "sni", "", "`NAME` to send, instead of the one that is verified; none: send no name"),
		stringFlag("TLS", "session", "", "`FILE` that keeps the session, a secret, to resume it next time with the same server, trust and certificate of ours"),
		boolFlag("TLS", "resume", "connect twice, and fail unless the second connection resumes the session of the first"),
		stringFlag("TLS", "keylog", "", "`FILE` to append the secrets of the session to: who has them can read what was recorded ($SSLKEYLOGFILE is not read)"),
	}
}

// dialTLS sets what is negotiated. It comes after the trust, which a session is
// bound to.
func (p *program) dialTLS(c *cli.Context, d *tlsclient.Dialer) (err error) {
	if d.MinVersion, err = tlsVersion(c, "min"); err != nil {
		return err
	}
	if d.MaxVersion, err = tlsVersion(c, "max"); err != nil {
		return err
	}
	if d.MinVersion > d.MaxVersion {
		return misuse("", "--min %s is above --max %s", c.String("min"), c.String("max"))
	}
	if err := dialGroups(c, d); err != nil {
		return err
	}
	if err := dialNames(c, d); err != nil {
		return err
	}
	if d.KeyLogWriter, err = p.keyLogOf(c); err != nil || c.String("session") == "" {
		return err
	}
	return p.dialSession(c, d)
}

func dialGroups(c *cli.Context, d *tlsclient.Dialer) error {
	for _, name := range list(c, "groups") {
		group, err := tlsclient.ParseGroup(name)
		if err != nil {
			known := append(tlsclient.GroupNames(), strings.Fields(strings.ToLower(strings.Join(tlsclient.GroupNames(), " ")))...) // in any case
			return misuse(suggestion("--groups ", name, known, "tcps connect --help"), "flag --groups: %v", err)
		}
		d.CurvePreferences = append(d.CurvePreferences, group)
	}
	if len(d.CurvePreferences) > 0 && d.MaxVersion == tls.VersionTLS12 && !slices.ContainsFunc(d.CurvePreferences, func(g tls.CurveID) bool { return !postQuantum(g) }) {
		return misuse("add one that it has: --groups X25519", "--max 1.2 leaves none of --groups: TLS 1.2 has no hybrids")
	}
	return nil
}

func dialNames(c *cli.Context, d *tlsclient.Dialer) error {
	d.NextProtos, d.RequireALPN = list(c, "alpn"), c.Bool("alpn-required")
	for _, protocol := range d.NextProtos {
		if len(protocol) > 255 {
			return misuse("", "flag --alpn: a protocol of %d bytes: 255 are the most (RFC 7301, 3.1)", len(protocol))
		}
	}
	if d.RequireALPN && len(d.NextProtos) == 0 {
		return misuse("name the protocols: --alpn PROTOCOL", "--alpn-required without --alpn")
	}
	switch name := c.String("sni"); name {
	case "":
	case "none":
		d.SNI = tlsclient.NoSNI
	default:
		if err := tlsclient.CheckSNI(name); err != nil {
			return misuse("--name is the name that the certificate must have", "flag --sni: %v", err)
		}
		d.SNI = name
	}
	return nil
}

// dialSession has a file keep the session, bound to whom we trust and who we
// are: with other authorities, or another certificate, the handshake is full.
func (p *program) dialSession(c *cli.Context, d *tlsclient.Dialer) error {
	path := c.String("session")
	if info, err := os.Stat(filepath.Dir(path)); err != nil || !info.IsDir() {
		return failure(fmt.Errorf("keep the session in %q: there is no such folder", path), "make it, or name another one: --session FILE")
	}
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return failure(fmt.Errorf("keep the session in %q: that is no file", path), "name a file: --session FILE")
	}
	digest := sha256.New()
	roots, err := rootsToBind(c)
	if err != nil {
		return err
	}
	if len(list(c, "ca")) == 0 {
		fmt.Fprint(digest, "and the system's,")
	}
	for _, root := range roots {
		fmt.Fprintf(digest, "root %x,", sha256.Sum256(root.Raw))
	}
	if ours, ok := d.Source.(interface{ Leaves() []*x509.Certificate }); ok {
		for _, leaf := range ours.Leaves() {
			fmt.Fprintf(digest, "ours %x,", sha256.Sum256(leaf.Raw))
		}
	}
	d.Sessions = &tlsclient.SessionFile{Path: path, Binding: digest.Sum(nil), Warn: func(text string) { p.warn(text) }}
	return nil
}

// rootsToBind are the authorities that were named, or the local one beside the
// system's: sessions are verified anew against those in any case.
func rootsToBind(c *cli.Context) ([]*x509.Certificate, error) {
	cas := list(c, "ca")
	if len(cas) == 0 {
		roots, err := localRoots(c)
		if err != nil { // it is not trusted then
			return nil, nil
		}
		return roots, nil
	}
	roots, _, err := authoritiesOf(cas)
	return roots, err
}

// A keyLog appends to a file; it is opened for each line, and so never left open. A
// pipe that nobody reads is an error: opening it would wait for ever.
type keyLog string

func (k keyLog) Write(line []byte) (n int, err error) {
	f, err := os.OpenFile(string(k), os.O_WRONLY|os.O_APPEND|os.O_CREATE|syscall.O_NONBLOCK, 0o600)
	if err != nil {
		return 0, bareFileError(err)
	}
	info, err := f.Stat()
	if err == nil && info.Mode().IsRegular() {
		if err = certs.CheckSecretFile(info); err != nil {
			err = fmt.Errorf("it %w", err)
		}
	}
	if err == nil {
		n, err = f.Write(line)
	}
	return n, errors.Join(err, f.Close())
}

// bareFileError leaves the path out.
func bareFileError(err error) error {
	if cause, ok := errors.AsType[*fs.PathError](err); ok {
		return cause.Err
	}
	return err
}

// keyLogOf makes the file, and says loudly what it is.
func (p *program) keyLogOf(c *cli.Context) (io.Writer, error) {
	path := c.String("keylog")
	if path == "" {
		return nil, nil
	}
	if _, err := keyLog(path).Write(nil); err != nil {
		return nil, failure(fmt.Errorf("write the key log %q: %w", path, err), "name a file that only you can read and write: --keylog FILE")
	}
	p.warn(fmt.Sprintf("--keylog writes the secrets of this session to %q: whoever reads that file can read all that was said", path))
	return keyLog(path), nil
}

// warnOffer says so where the server has chosen nothing of what was offered: it
// may go on in a protocol that is not ours.
func (p *program) warnOffer(c *cli.Context, conn *tlsclient.Conn) {
	if cs := conn.TLS(); cs != nil && cs.NegotiatedProtocol == "" && len(list(c, "alpn")) > 0 {
		p.warn("the server chose none of the application protocols that were offered (--alpn-required refuses that)")
	}
}

// connectTLSHints say what to do where a negotiation failed.
func connectTLSHints(c *cli.Context, failed *tlsclient.Error) []string {
	switch reason := failed.Reason; {
	case reason == tlsclient.ReasonALPN:
		return []string{"the server speaks none of the protocols of --alpn, or has a protocol of its own that must be offered"}
	case reason == tlsclient.ReasonNotResumed:
		return []string{"usual causes: tickets are switched off, or several servers behind one name have no ticket key in common"}
	case reason == tlsclient.ReasonSNI:
		return []string{"the server wants another name: --sni NAME sends one, --name NAME is the one that is verified"}
	case reason == tlsclient.ReasonNoSharedCipher && c.IsSet("groups"):
		return []string{"the server may have none of --groups: leave it out to offer all"}
	case reason == tlsclient.ReasonVersion && (c.IsSet("min") || c.IsSet("max")):
		return []string{"the server speaks no version between --min and --max"}
	}
	return nil
}
