package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"tcps/certs"
)

// How long a watching renewer waits: at most lookEvery, since files, clock and
// machine may change meanwhile; after a failure a time that doubles.
const (
	lookEvery    = time.Minute
	firstPause   = time.Second
	longestWait  = time.Hour
	execPatience = 5 * time.Second // for a command to end after a signal
)

// watch renews each file when it is due, until a signal comes. What is wrong at
// the start is an error; what goes wrong later is tried again.
func (r *renewer) watch(files []string, command string) error {
	ctx, stop := signal.NotifyContext(r.c.Context, os.Interrupt, syscall.SIGTERM)
	defer stop()
	for _, file := range files {
		leaf, err := leafOf(file)
		if err != nil {
			return err
		}
		if life := certs.LifeOf(leaf); r.before >= life {
			return misuse("", "flag --before: %q only lasts %v, it would always be due", file, life)
		}
	}
	if _, err := r.openAuthority(r.c); err != nil {
		return err
	}
	pause := firstPause
	for {
		wait, renewed, err := r.round(files)
		if renewed && command != "" {
			if e := r.run(ctx, command); e != nil && ctx.Err() == nil {
				r.warn(fmt.Sprintf("run %q: %v", command, e))
			}
		}
		if err != nil {
			wait, pause = pause, min(2*pause, longestWait)
			r.warn(fmt.Sprintf("%v; the next try is in %v", err, wait))
		} else {
			pause = firstPause
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil
		}
	}
}

// round renews what is due, and says when to look again.
func (r *renewer) round(files []string) (wait time.Duration, renewed bool, failed error) {
	wait = lookEvery
	for _, file := range files {
		leaf, err := leafOf(file)
		if err == nil && certs.WhyDue(leaf, r.before) != "" {
			if err = r.renew(file); err == nil {
				renewed = true
				leaf, err = leafOf(file)
			}
		}
		if err != nil {
			failed = err
			continue
		}
		before := r.before
		if before == 0 {
			before = certs.LifeOf(leaf) / 3
		}
		wait = min(wait, max(time.Until(leaf.NotAfter.Add(-before)), firstPause))
	}
	return wait, renewed, failed
}

// run runs the command. What it says is a message, not data of ours.
func (r *renewer) run(ctx context.Context, command string) error {
	c := exec.CommandContext(ctx, "sh", "-c", command)
	c.Stdout, c.Stderr = r.err, r.err
	c.Cancel = func() error { return c.Process.Signal(os.Interrupt) }
	c.WaitDelay = execPatience
	return c.Run()
}
