package service

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"tcps/internal/reason"
	"tcps/internal/starttls"
	"tcps/internal/wire"
	"tcps/tlsclient"
	"tcps/tlsserver"
)

// introductionTimeout bounds what is said between a client's handshake and the
// relay, where a side was upgraded by a dialogue (STARTTLS).
const introductionTimeout = 10 * time.Second

// A meeting brings a client and its target together.
type meeting struct {
	client       *tlsserver.Conn
	introduction *starttls.Introduction // nil: there was no dialogue
}

// meet hears what the client says before its target is dialled, which is asked
// for TLS in the protocol to; empty: in none.
func meet(c *tlsserver.Conn, to string) (*meeting, error) {
	m := &meeting{client: c}
	protocol := cmp.Or(c.StartTLS(), to)
	if protocol == "" {
		return m, nil
	}
	c.SetDeadline(time.Now().Add(introductionTimeout))
	defer c.SetDeadline(time.Time{})
	var err error
	m.introduction, err = starttls.Meet(protocol, c, starttls.Upgrades{
		Client: c.StartTLS() != "", Target: to != "", Version: c.StartTLSVersion(),
	})
	if wire.IsTimeout(err) {
		err = tlsserver.WithReason(reason.Timeout("login"), err)
	}
	return m, err
}

// context is for dialling the target.
func (m *meeting) context(ctx context.Context) context.Context {
	if m.introduction == nil {
		return ctx
	}
	return m.introduction.Context(ctx)
}

// refused tells the client what a target said that refused us.
func (m *meeting) refused(err error) {
	if m.introduction == nil {
		return
	}
	if tried, ok := errors.AsType[*triedError](err); ok {
		err = tried.last()
	}
	m.client.SetWriteDeadline(time.Now().Add(introductionTimeout))
	m.introduction.Tell(err)
}

// introduce tells both sides what they have missed. It returns them as they are
// to be relayed.
func (m *meeting) introduce(target *tlsclient.Conn) (client, to side, err error) {
	if m.introduction == nil {
		return m.client, target, nil
	}
	deadline := time.Now().Add(introductionTimeout)
	m.client.SetDeadline(deadline)
	target.SetDeadline(deadline)
	fromClient, fromTarget, err := m.introduction.Finish(starttls.Target{
		Conn: target, Upgraded: target.StartTLS() != "", Greeting: target.Greeting(),
	})
	if err != nil {
		m.refused(err)
		return nil, nil, notIntroduced(target, err)
	}
	if v := m.introduction.Version(); v != "" {
		m.client.SetStartTLSVersion(v)
	}
	m.client.SetDeadline(time.Time{})
	target.SetDeadline(time.Time{})
	return readFrom(m.client, fromClient), readFrom(target, fromTarget), nil
}

// notIntroduced says that an error is the target's, not the client's.
func notIntroduced(target *tlsclient.Conn, err error) error {
	why := whyTarget(err)
	if _, ok := errors.AsType[*starttls.Refusal](err); ok {
		why = reason.Target(reason.Of(err, "login"))
	}
	return tlsserver.WithReason(why, fmt.Errorf("begin with %s: %w", target.Endpoint(), err))
}

// An introduced side is read through what knows how its stream goes on.
type introduced struct {
	side
	r io.Reader
}

func (i introduced) Read(b []byte) (int, error) { return i.r.Read(b) }

// ReadFrom is the side's own.
func (i introduced) ReadFrom(r io.Reader) (int64, error) { return i.side.(io.ReaderFrom).ReadFrom(r) }

func readFrom(s side, r io.Reader) side {
	if r == io.Reader(s) {
		return s
	}
	return introduced{s, r}
}
