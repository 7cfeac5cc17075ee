package main

import (
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"time"

	"github.com/urfave/cli/v2"

	"tcps/tlsserver"
)

const limitsCategory = "Limits"

// limitFlags are what connections may cost, together and each.
func limitFlags() []cli.Flag {
	return []cli.Flag{
		defaulted(countFlag(limitsCategory, "max-connections", 0, "`NUMBER` of connections that may be open; one that waits for its hello gives way to the next"),
			"what the limit of descriptors leaves"),
		defaulted(countFlag(limitsCategory, "max-per-address", 0, "`NUMBER` of connections that may be open from one address; of IPv6, from one /64"),
			"a quarter of --max-connections"),
		countFlag(limitsCategory, "max-per-identity", 0, "`NUMBER` of connections that may be open of one certificate's names"),
		countFlag(limitsCategory, "rate", 0, "`NUMBER` of new connections a second"),
		countFlag(limitsCategory, "rate-per-address", 200, "`NUMBER` of new connections a second from one address"),
		boolFlag(limitsCategory, "count-loopback", "count connections of loopback addresses and of trusted proxies by address too"),
		countFlag(limitsCategory, "max-hellos", 10_000, "`NUMBER` of connections that may wait for their hello; the oldest gives way"),
		defaulted(countFlag(limitsCategory, "max-handshakes", 0, "`NUMBER` of handshakes in progress; one more waits its turn"),
			"256 for each processor"),
		durationFlag(limitsCategory, "handshake-timeout", 10*time.Second, "`TIME` from accepting a connection to the end of its handshake"),
		durationFlag(limitsCategory, "first-byte-timeout", 0, "`TIME` after the handshake by which either side has to have said something"),
		durationFlag(limitsCategory, "idle-timeout", 0, "`TIME` for which nothing may come or go"),
		durationFlag(limitsCategory, "write-timeout", 0, "`TIME` for which a client may take nothing of what there is for it"),
		durationFlag(limitsCategory, "max-age", 0, "`TIME` that a connection may live"),
		byteLimitFlag(limitsCategory, "bandwidth", "`BYTES` a second that a connection may send, and as many receive"),
		defaulted(byteLimitFlag(limitsCategory, "memory-limit", "`BYTES` that the process may take; beyond, new connections are refused"),
			"80% of what the control group may have, where it is limited"),
		durationFlag(limitsCategory, "drain", 30*time.Second, "`TIME` that connections have to end by themselves at a shutdown; off: all they want"),
	}
}

// defaulted is a flag whose default is no fixed value.
func defaulted(f *cli.GenericFlag, text string) *cli.GenericFlag {
	f.DefaultText = text
	return f
}

// descriptorsOf is how many a connection of a service takes.
func descriptorsOf(service string) int {
	switch service {
	case "forward":
		return 2 // that to the target
	case "exec":
		return 4 // pipes from and to the program, and its handle
	}
	return 1
}

// limitsOf reads the flags.
func limitsOf(c *cli.Context, service string) tlsserver.Limits {
	l := tlsserver.Limits{
		MaxConns:            max(1, tlsserver.DefaultMaxConns()/descriptorsOf(service)),
		MaxConnsPerIdentity: countOf(c, "max-per-identity"),
		Rate:                countOf(c, "rate"),
		RatePerAddress:      countOf(c, "rate-per-address"),
		CountLoopback:       c.Bool("count-loopback"),
		MaxHellos:           countOf(c, "max-hellos"),
		Memory:              memoryDefault(),
		FirstByteTimeout:    durationOf(c, "first-byte-timeout"),
		IdleTimeout:         durationOf(c, "idle-timeout"),
		WriteTimeout:        durationOf(c, "write-timeout"),
		MaxAge:              durationOf(c, "max-age"),
		Bandwidth:           int(byteLimitOf(c, "bandwidth")),
	}
	for name, field := range map[string]*int{"max-connections": &l.MaxConns, "max-per-address": &l.MaxConnsPerAddress, "max-handshakes": &l.MaxHandshakes} {
		if c.IsSet(name) {
			*field = countOf(c, name)
		}
	}
	if c.IsSet("memory-limit") {
		l.Memory = byteLimitOf(c, "memory-limit")
	}
	return l
}

// limitsHere are the defaults of limits that depend on the machine, as they are on
// this one.
func limitsHere(c *cli.Context, service string) map[string]string {
	l := limitsOf(c, service).Effective()
	here := map[string]string{
		"max-connections": fmt.Sprint(l.MaxConns), "max-per-address": fmt.Sprint(l.MaxConnsPerAddress), "max-handshakes": fmt.Sprint(l.MaxHandshakes),
		"memory-limit": "none",
	}
	if l.Memory > 0 {
		here["memory-limit"] = formatBytes(l.Memory)
	}
	return here
}

// memoryDefault leaves a fifth of what there is to others, and to the moment
// between two looks; 0: nothing says what there is.
func memoryDefault() int64 { return cgroupMemory("/") / 5 * 4 }

// keepBelow has the runtime collect garbage before the memory of the process
// reaches a limit: what nobody uses any more should not keep clients out.
func keepBelow(limit int64, log *slog.Logger) {
	if limit <= 0 || os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	if soft := limit / 10 * 9; soft < debug.SetMemoryLimit(-1) {
		debug.SetMemoryLimit(soft)
		log.Debug("the runtime's memory limit is set", "bytes", soft)
	}
}

// limitNames are the flags of limits, by the reasons for which connections end
// or are refused.
var limitNames = map[tlsserver.Reason]string{
	"limit:connections": "max-connections", "limit:address": "max-per-address", "limit:identity": "max-per-identity",
	"limit:rate": "rate", "limit:address-rate": "rate-per-address", "limit:hellos": "max-hellos", "limit:memory": "memory-limit",
	"timeout:hello": "handshake-timeout", "timeout:handshake": "handshake-timeout", "timeout:first-byte": "first-byte-timeout",
	"timeout:idle": "idle-timeout", "timeout:write": "write-timeout", "timeout:age": "max-age",
}

// limitAttrs name the flag that a connection met.
func limitAttrs(why tlsserver.Reason) []any {
	if name := limitNames[why]; name != "" {
		return []any{"limit", "--" + name}
	}
	return nil
}
