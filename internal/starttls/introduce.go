package starttls

import (
	"bytes"
	"context"
	"errors"
	"io"
)

// An Introduction brings the client and the target of a tunnel together: where
// one of them was upgraded by a dialogue, the other has not heard what was said.
type Introduction struct {
	protocol *protocol
	client   io.ReadWriter
	upgraded bool // the client, by a dialogue with us

	login   *Login // of a MySQL client
	version string // that the target's greeting said
}

// A Target is the other side of a tunnel.
type Target struct {
	Conn     io.ReadWriter
	Upgraded bool   // by a dialogue
	Greeting []byte // that the dialogue began with
}

// Meet begins an introduction, before the target is dialled. The client was
// upgraded by a dialogue with us or not; the target will be or not. A MySQL
// client says here who it is; version is as in Server. io.EOF is a client that
// went away.
func Meet(name string, client io.ReadWriter, how Upgrades) (*Introduction, error) {
	p, err := find(name)
	if err != nil {
		return nil, err
	}
	i := &Introduction{protocol: p, client: client, upgraded: how.Client}
	if name == "mysql" && (how.Client || how.Target) {
		i.login, err = meetMySQL(client, how)
	}
	return i, wrap(name, err)
}

// Upgrades are which sides of a tunnel are upgraded by a dialogue.
type Upgrades struct {
	Client, Target bool
	Version        string
}

type loginKey struct{}

// Context tells a dialogue with the target who it is for: see LoginOf.
func (i *Introduction) Context(ctx context.Context) context.Context {
	if i.login == nil {
		return ctx
	}
	return context.WithValue(ctx, loginKey{}, i.login)
}

// LoginOf is the login that a connection is made for; nil: none.
func LoginOf(ctx context.Context) *Login {
	l, _ := ctx.Value(loginKey{}).(*Login)
	return l
}

// Finish says to the client and the target what they have missed. It returns
// where both are to be read from afterwards. What goes wrong is the target's
// fault; see Tell.
func (i *Introduction) Finish(t Target) (fromClient, fromTarget io.Reader, err error) {
	if i.protocol.introduce == nil {
		return i.client, t.Conn, nil
	}
	fromClient, fromTarget, err = i.protocol.introduce(i, t)
	return fromClient, fromTarget, wrap(i.protocol.name, err)
}

// Tell gives a client the words of a target that refused us by its greeting,
// if that is what err is.
func (i *Introduction) Tell(err error) {
	if r, ok := errors.AsType[*Refusal](err); ok {
		i.client.Write(i.protocol.refusal(i, r.Words))
	}
}

// Version is what the target says that it is, in MySQL; else empty.
func (i *Introduction) Version() string { return i.version }

// passGreeting is for protocols in which the server speaks first: a client that
// was upgraded had our greeting, and not to have two the target's is dropped; a
// client that was not has had none, and the dialogue took the target's.
func (i *Introduction) passGreeting(t Target, read func(io.Reader) ([]byte, error)) (io.Reader, io.Reader, error) {
	switch {
	case i.upgraded && !t.Upgraded:
		if _, err := read(t.Conn); err != nil {
			return nil, nil, err
		}
	case !i.upgraded && t.Upgraded:
		i.client.Write(t.Greeting) // if it fails, so will the next write
	}
	return i.client, t.Conn, nil
}

// meetMySQL hears who a client is, whom the dialogue has greeted or we do now.
func meetMySQL(client io.ReadWriter, how Upgrades) (*Login, error) {
	if how.Client {
		return readLogin(client, 2)
	}
	if _, err := client.Write(packet(0, mysqlGreeting(how.Version, myOffered))); err != nil {
		return nil, err
	}
	return readLogin(client, 1)
}

// introduceMySQL sends the login on.
func introduceMySQL(i *Introduction, t Target) (io.Reader, io.Reader, error) {
	if i.login == nil {
		return i.client, t.Conn, nil
	}
	greeting, seq := t.Greeting, byte(2)
	if !t.Upgraded {
		var err error
		if greeting, _, err = readMySQLGreeting(t.Conn); err != nil {
			return nil, nil, err
		}
		seq = 1
	}
	offered, ok := offeredByMySQL(greeting)
	if !ok {
		return nil, nil, errors.New("the target has sent no greeting")
	}
	i.version = versionOfMySQL(greeting)
	if _, err := t.Conn.Write(packet(seq, i.login.login(offered, t.Upgraded))); err != nil {
		return nil, nil, err
	}
	ahead := seq - i.login.seq // of what the target counts, modulo 256
	return &renumberer{r: i.client, add: ahead, last: fromClient},
		&renumberer{r: t.Conn, add: -ahead, last: fromServer}, nil
}

func mysqlRefusal(i *Introduction, words []byte) []byte {
	seq := byte(0)
	if i.login != nil {
		seq = i.login.seq + 1
	}
	return packet(seq, words)
}

// prefixed reads b before r.
func prefixed(b []byte, r io.Reader) io.Reader { return io.MultiReader(bytes.NewReader(b), r) }
