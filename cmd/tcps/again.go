package main

import (
	"context"
	"errors"
	"sync"
	"syscall"
	"time"
)

// retryPause is the time after which something is tried again that has failed for
// want of something.
const retryPause = 5 * time.Second

// An again has reloads tried again that have failed for want of descriptors, say:
// no change of a file would come later to do that. The zero value is ready.
type again struct {
	once   sync.Once
	failed chan struct{}
}

func (a *again) wanted() chan struct{} {
	a.once.Do(func() { a.failed = make(chan struct{}, 1) })
	return a.failed
}

// after hears of a failure, whatever it is.
func (a *again) after(err error) {
	if !passes(err) {
		return
	}
	select {
	case a.wanted() <- struct{}{}:
	default: // it is wanted already
	}
}

// passes is whether an error is the machine's, and goes away by itself.
func passes(err error) bool {
	for _, errno := range []syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.EIO} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

// run calls do a while after each failure, until ctx ends.
func (a *again) run(ctx context.Context, do func()) {
	for {
		select {
		case <-a.wanted():
		case <-ctx.Done():
			return
		}
		pause := time.NewTimer(retryPause)
		select {
		case <-pause.C:
			do()
		case <-ctx.Done():
			pause.Stop()
			return
		}
	}
}
