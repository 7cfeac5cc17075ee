package main

import (
	"log/slog"
	"sync"
	"time"

	"tcps/tlsserver"
)

// A lineRate lets so many lines a second through for each reason, and says how
// many it has left out: a flood must not fill a disk, nor drown all else.
type lineRate struct {
	log  *slog.Logger
	most int // negative: all

	mu      sync.Mutex
	seconds map[tlsserver.Reason]*logSecond // guarded by mu
}

// A logSecond is one reason's lines of a second.
type logSecond struct {
	begun      time.Time
	said, left int
	timer      *time.Timer // says what was left out; nil: nothing was
}

// take takes one line, if there is one left.
func (r *lineRate) take(why tlsserver.Reason) bool {
	if r.most < 0 {
		return true
	}
	// Those that a limit's name tells apart are few, those of a rule may be many.
	if kind := why.Kind(); kind != "limit" && kind != "timeout" {
		why = kind
	}
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.seconds[why]
	if s == nil || s.timer == nil && now.Sub(s.begun) >= time.Second {
		if r.seconds == nil {
			r.seconds = make(map[tlsserver.Reason]*logSecond)
		}
		s = &logSecond{begun: now}
		r.seconds[why] = s
	}
	if s.said < r.most {
		s.said++
		return true
	}
	s.left++
	if s.timer == nil {
		s.timer = time.AfterFunc(time.Until(s.begun.Add(time.Second)), func() { r.say(why, s) })
	}
	return false
}

// say ends a second, and says what it has left out.
func (r *lineRate) say(why tlsserver.Reason, s *logSecond) {
	r.mu.Lock()
	mine := r.seconds[why] == s // else flush has it
	if mine {
		delete(r.seconds, why)
	}
	left := s.left
	r.mu.Unlock()
	if mine {
		r.tell(why, left)
	}
}

// flush says at once what was left out so far.
func (r *lineRate) flush() {
	r.mu.Lock()
	seconds := r.seconds
	r.seconds = nil
	r.mu.Unlock()
	for why, s := range seconds {
		if s.timer != nil {
			s.timer.Stop()
			r.tell(why, s.left)
		}
	}
}

func (r *lineRate) tell(why tlsserver.Reason, left int) {
	r.log.Info("lines about connections that ended or were refused were left out", "reason", string(why), "count", left, "limit", "--log-rate")
}
