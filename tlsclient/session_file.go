package tlsclient

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"tcps/certs"
	"tcps/internal/endpoint"
)

// A SessionFile keeps one TLS session in a file, for a Dialer in another run of
// a program: it is a value for Dialer.Sessions. The file holds secrets (mode
// 0600): who has it can take our place in the session, and who can write it the
// server's.
//
// A session is offered only to the endpoint that it was made with, by a Dialer
// that asks for the same name, has the same SNI, StartTLS, Pins, Insecure, use of
// KnownHosts and Binding, and would accept the server's certificate now: it is
// verified anew, against the roots, pins and revocation of now, before the session
// is offered and when it has been resumed. A file that is damaged, somebody
// else's, open to others or of another build is not used: the handshake is a full
// one, Warn is told, and a new session takes its place. What is no session file at
// all is left as it is.
type SessionFile struct {
	Path string

	// Binding is what else must be the same: something that stands for the
	// certificates of authorities that are trusted, and for our own.
	Binding []byte

	// Warn is told, in a sentence, why the file is not used, or could not be
	// written; possibly from within Read. Nil: nobody is told.
	Warn func(string)
}

// Get is there for tls.ClientSessionCache. A session is found only by a Dialer.
func (f *SessionFile) Get(string) (*tls.ClientSessionState, bool) { return nil, false }

// Put is there for tls.ClientSessionCache, and does nothing, as Get.
func (f *SessionFile) Put(string, *tls.ClientSessionState) {}

// sessions is where one connection's session comes from and goes to.
func (d *Dialer) sessions(c *Conn, e endpoint.Endpoint, name string) tls.ClientSessionCache {
	if b, ok := d.Sessions.(sessionBinder); ok {
		return b.bind(d, c, e, name)
	}
	return d.Sessions
}

// A sessionBinder is a cache that must know who asks.
type sessionBinder interface {
	bind(d *Dialer, c *Conn, e endpoint.Endpoint, name string) tls.ClientSessionCache
}

func (f *SessionFile) bind(d *Dialer, c *Conn, e endpoint.Endpoint, name string) tls.ClientSessionCache {
	c.kept = make(chan struct{})
	return &boundSession{file: f, dialer: d, conn: c, endpoint: e, name: name, binding: d.bindingOf(e, name, f.Binding)}
}

// keepsSessions reports whether sessions may come out of a file.
func (d *Dialer) keepsSessions() bool {
	_, ok := d.Sessions.(*SessionFile)
	return ok
}

// bindingOf is a digest of all that two connections must have in common to be
// of one session.
func (d *Dialer) bindingOf(e endpoint.Endpoint, name string, more []byte) []byte {
	var pins []string
	for _, p := range d.Pins {
		pins = append(pins, hex.EncodeToString(p[:]))
	}
	slices.Sort(pins)
	mode := "verified"
	switch {
	case d.KnownHosts != nil:
		mode = "known"
	case d.Insecure:
		mode = "insecure"
	case d.pinsAlone():
		mode = "pinned"
	}
	digest := sha256.New()
	for _, part := range []string{"tcps session 1", e.String(), name, d.sni(name), d.StartTLS, mode, strings.Join(pins, ","), string(more)} {
		fmt.Fprintf(digest, "%d:%s,", len(part), part)
	}
	return digest.Sum(nil)
}

// A boundSession is the file for one connection.
type boundSession struct {
	file     *SessionFile
	dialer   *Dialer
	conn     *Conn
	endpoint endpoint.Endpoint
	name     string
	binding  []byte
}

// A keptSession is the content of a file.
type keptSession struct {
	MadeBy  string    `json:"made_by"` // the Go version, which decides how State is encoded
	At      time.Time `json:"at"`
	Binding []byte    `json:"binding"`
	Ticket  []byte    `json:"ticket"`
	State   []byte    `json:"state"`
	Chain   [][]byte  `json:"chain"` // of the server
	OCSP    []byte    `json:"ocsp,omitempty"`
}

// The first line is sessionMagic and the SHA-256 of what follows: a server ends
// the handshake where a secret is damaged (RFC 8446, 4.2.11).
const (
	sessionMagic    = "tcps session 1 "
	maxSessionBytes = 1 << 20
)

var (
	errNoSessionFile = errors.New("is no session file, and is left as it is")
	errDamaged       = errors.New("is damaged")
)

// Get reads the session. crypto/tls offers it, unless its ticket has expired.
func (b *boundSession) Get(string) (*tls.ClientSessionState, bool) {
	kept, err := b.read()
	if errors.Is(err, fs.ErrNotExist) || err == nil && kept == nil {
		return nil, false
	}
	var state *tls.ClientSessionState
	if err == nil {
		state, err = b.admit(kept)
	}
	if err != nil {
		b.warn("session file %q %v: the handshake is a full one", b.file.Path, err)
		return nil, false
	}
	return state, true
}

func (b *boundSession) warn(format string, args ...any) {
	if b.file.Warn != nil {
		b.file.Warn(fmt.Sprintf(format, args...))
	}
}

// read is nil for an empty file.
func (b *boundSession) read() (*keptSession, error) {
	if info, err := os.Stat(b.file.Path); err == nil && !info.Mode().IsRegular() {
		return nil, errNoSessionFile // opening a pipe would wait for its other end
	}
	f, err := os.Open(b.file.Path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, maxSessionBytes+1))
	if err != nil || len(data) == 0 {
		return nil, err
	}
	sum, body, _ := bytes.Cut(data, []byte("\n"))
	if !bytes.HasPrefix(sum, []byte(sessionMagic)) || len(data) > maxSessionBytes {
		return nil, errNoSessionFile
	}
	if err := certs.CheckSecretFile(info); err != nil {
		return nil, err
	}
	var kept keptSession
	if string(sum) != sumLine(body) || json.Unmarshal(body, &kept) != nil {
		return nil, errDamaged
	}
	return &kept, nil
}

func sumLine(body []byte) string { return fmt.Sprintf("%s%x", sessionMagic, sha256.Sum256(body)) }

// admit asks whether the session may be offered.
func (b *boundSession) admit(kept *keptSession) (*tls.ClientSessionState, error) {
	if !bytes.Equal(kept.Binding, b.binding) {
		return nil, errors.New("has a session with another server, or one that was verified in another way")
	}
	if kept.MadeBy != runtime.Version() {
		return nil, fmt.Errorf("was written by a build with %q, and this one is of %s", kept.MadeBy, runtime.Version())
	}
	cs := tls.ConnectionState{OCSPResponse: kept.OCSP, DidResume: true}
	for _, der := range kept.Chain {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, errDamaged
		}
		cs.PeerCertificates = append(cs.PeerCertificates, cert)
	}
	if err := b.judge(cs); err != nil {
		return nil, fmt.Errorf("has a session with a server that would be refused now (%w)", err)
	}
	state, err := tls.ParseSessionState(kept.State)
	if err != nil {
		return nil, errDamaged
	}
	return tls.NewResumptionState(kept.Ticket, state)
}

// judge is that of the dialer, with the chains found anew.
func (b *boundSession) judge(cs tls.ConnectionState) (err error) {
	switch {
	case b.dialer.KnownHosts != nil:
		return b.dialer.judgeKept(b.endpoint, cs.PeerCertificates)
	case b.dialer.Insecure:
		return nil
	}
	if !b.dialer.pinsAlone() {
		if cs.VerifiedChains, err = verify(&cs, b.dialer.RootCAs, b.name); err != nil {
			return err
		}
	}
	return b.dialer.judgeVerified(cs)
}

// Put writes the session, or removes one that is good for nothing any more.
func (b *boundSession) Put(_ string, state *tls.ClientSessionState) {
	if _, err := b.read(); errors.Is(err, errNoSessionFile) {
		return // Get has said so
	}
	if state == nil {
		os.Remove(b.file.Path)
		return
	}
	if err := b.write(state); err != nil {
		b.warn("the session was not kept: %v", err)
	}
	select {
	case <-b.conn.kept: // a server may send several tickets
	default:
		close(b.conn.kept)
	}
	if b.conn.endsRead {
		b.conn.SetReadDeadline(past) // we are within it
	}
}

// ticketGrace is how long a Session that could end waits for a ticket to keep: a
// server may send it after what it has to say.
const ticketGrace = 250 * time.Millisecond

// awaitTicket waits for the session that a file is to keep. Who reads from the
// connection meanwhile is this function, if reading is set, or somebody else.
func (c *Conn) awaitTicket(reading bool) {
	if c.kept == nil || c.stream.TLS.ConnectionState().Version < tls.VersionTLS13 { // where it is part of the handshake
		return
	}
	if reading {
		c.SetReadDeadline(time.Now().Add(ticketGrace))
		c.endsRead = true
		c.readUntilKept()
		return
	}
	over := time.NewTimer(ticketGrace)
	defer over.Stop()
	select {
	case <-c.kept:
	case <-over.C:
	}
}

func (c *Conn) readUntilKept() {
	for buf := make([]byte, bufferSize); ; {
		select {
		case <-c.kept:
			return
		default:
		}
		if _, err := c.Read(buf); err != nil {
			return
		}
	}
}

// write runs within a Read of the connection, or in its handshake.
func (b *boundSession) write(session *tls.ClientSessionState) error {
	ticket, state, err := session.ResumptionState()
	if err != nil {
		return err
	}
	kept := keptSession{MadeBy: runtime.Version(), At: time.Now().UTC(), Binding: b.binding, Ticket: ticket, OCSP: b.conn.presented.ocsp}
	if kept.State, err = state.Bytes(); err != nil {
		return err
	}
	for _, cert := range b.conn.presented.chain {
		kept.Chain = append(kept.Chain, cert.Raw)
	}
	body, err := json.Marshal(kept)
	if err != nil {
		return err
	}
	return certs.WriteSecretFile(b.file.Path, append([]byte(sumLine(body)+"\n"), body...))
}
