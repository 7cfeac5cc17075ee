package tlsserver

import (
	"runtime/metrics"
	"sync"
	"time"
)

// memoryEvery is how often the runtime is asked: that costs a microsecond or
// two, and a connection takes longer to grow.
const memoryEvery = 20 * time.Millisecond

// memoryUse is what the process has taken from the system and not given back.
type memoryUse struct {
	mu      sync.Mutex
	samples []metrics.Sample // guarded by mu, as all below
	asked   time.Time
	bytes   int64
}

func (m *memoryUse) now(now time.Time) int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	if now.Sub(m.asked) < memoryEvery {
		return m.bytes
	}
	if m.samples == nil {
		m.samples = []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	}
	metrics.Read(m.samples)
	m.asked = now
	m.bytes = int64(m.samples[0].Value.Uint64() - m.samples[1].Value.Uint64())
	return m.bytes
}
