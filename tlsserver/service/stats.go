package service

import (
	"maps"
	"slices"
	"sync/atomic"
	"time"
)

// What services count is asked for, and not told as it happens: a room delivers
// more messages a second than anybody would want to hear of.

// RoomStats are figures of a room; all but Members only grow.
type RoomStats struct {
	Members   int   // that are in it
	Said      int64 // messages, by those who may speak
	Delivered int64 // messages that were written to a member, notices too
	Missed    int64 // messages that slow members have not got (DropLines)
	Cut       int64 // slow members that were put out (DropMember)
}

// roomCounts are what RoomStats are made of.
type roomCounts struct{ members, said, delivered, missed, cut atomic.Int64 }

// Stats are the figures of now.
func (b *Broadcast) Stats() RoomStats {
	c := &b.counts
	return RoomStats{int(c.members.Load()), c.said.Load(), c.delivered.Load(), c.missed.Load(), c.cut.Load()}
}

// TargetStats are figures of one target.
type TargetStats struct {
	Endpoint string
	Open     int           // connections, those that are being dialled too
	Out      bool          // it has failed, and has not been reached since
	OutFor   time.Duration // 0: it is in
}

// Stats are the figures of now, in the order of the targets.
func (t *Targets) Stats() []TargetStats {
	p := t.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []TargetStats
	for i, m := range p.members {
		s := TargetStats{Endpoint: t.endpoints[i], Open: m.open, Out: m.failures > 0}
		if s.Out {
			s.OutFor = time.Since(m.outSince)
		}
		all = append(all, s)
	}
	return all
}

// Stats are the figures of all targets, those of routes too, by endpoint: one that
// several routes lead to is there once, and out if it is for any of them.
func (f *Forward) Stats() []TargetStats {
	seen := make(map[*Targets]bool) // one value may be for several routes
	byEndpoint := make(map[string]TargetStats)
	all := append(slices.Collect(maps.Values(f.Routes.Names)), slices.Collect(maps.Values(f.Routes.Protos))...)
	for _, t := range append(all, f.Targets) {
		if t == nil || seen[t] {
			continue
		}
		seen[t] = true
		for _, s := range t.Stats() {
			known := byEndpoint[s.Endpoint]
			s.Open, s.Out, s.OutFor = s.Open+known.Open, s.Out || known.Out, max(s.OutFor, known.OutFor)
			byEndpoint[s.Endpoint] = s
		}
	}
	var stats []TargetStats
	for _, endpoint := range slices.Sorted(maps.Keys(byEndpoint)) {
		stats = append(stats, byEndpoint[endpoint])
	}
	return stats
}

// ExecStats are figures of the programs of connections.
type ExecStats struct {
	Running int
	Started int64 // ever
}

// Stats are the figures of now.
func (e *Exec) Stats() ExecStats {
	e.mu.Lock()
	defer e.mu.Unlock()
	return ExecStats{len(e.running), e.started}
}
