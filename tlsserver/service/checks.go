package service

import (
	"cmp"
	"context"
	"strings"
	"sync"
	"time"

	"tcps/internal/endpoint"
)

// Check is how targets are looked at between connections.
type Check int

// The kinds of checks.
const (
	CheckNone Check = iota
	CheckTCP        // connect
	CheckTLS        // connect and shake hands, where the target speaks TLS
)

// Run checks the targets, if that is asked for, until ctx ends. A check that
// fails takes its target out, a good one puts it back.
func (t *Targets) Run(ctx context.Context) {
	if t.Check == CheckNone {
		return
	}
	var running sync.WaitGroup
	for member := range t.endpoints {
		running.Go(func() { t.checkEach(ctx, member) })
	}
	running.Wait()
}

func (t *Targets) checkEach(ctx context.Context, member int) {
	tick := time.NewTicker(cmp.Or(max(t.CheckEvery, 0), 5*time.Second))
	defer tick.Stop()
	for {
		err := t.check(ctx, member)
		if ctx.Err() != nil {
			return
		}
		if !isShortage(err) { // which says nothing of the target
			out, was := t.pool.checked(member, err == nil)
			t.tellFailed(member, out, err)
			t.tellBack(member, was)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// checkLinger is how long a target may take for its end of a check.
const checkLinger = time.Second

// check connects, and closes as a client does. It spends none of the sessions
// that clients' connections resume.
func (t *Targets) check(ctx context.Context, member int) error {
	target := t.endpoints[member]
	if t.Check == CheckTCP {
		target = plain(target)
	}
	d := *(*t.dialers.Load())[member]
	d.Sessions, d.LingerTimeout, d.Preamble = nil, checkLinger, always(t.CheckPreamble)
	c, err := t.connect(ctx, &d, target)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, c.Abort)()
	c.Close()
	return nil
}

// plain is an endpoint without its TLS.
func plain(target string) string {
	scheme, rest, found := strings.Cut(target, "://")
	switch {
	case !found:
		return endpoint.TCP + "://" + target
	case strings.EqualFold(scheme, endpoint.TCPS):
		return endpoint.TCP + "://" + rest
	case strings.EqualFold(scheme, endpoint.UnixS):
		return endpoint.Unix + "://" + rest
	}
	return target
}
