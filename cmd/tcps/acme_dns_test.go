package main

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
	"github.com/rogpeppe/go-internal/testscript"
)

// A zone is a name server for "test." that takes dynamic updates (RFC 2136) which
// are signed with its key (TSIG, RFC 8945), and prints them, for waitfor:
//
//	rfc2136 NAME     $NAME is its address, the key is zoneKey
//
// Every name has the address 127.0.0.1.
type zone struct {
	job *job

	mu      sync.Mutex
	records map[string][]dns.RR // by name; guarded by mu
}

const (
	zoneKeyName = "tcps-test."
	zoneKey     = "dGNwcy10ZXN0LWtleS1vZi1hLXpvbmUtMzItYnl0ZXM="
)

func cmdRFC2136(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, len(args) == 1, "rfc2136 NAME")
	z := &zone{job: newJob(), records: make(map[string][]dns.RR)}
	addJob(ts, args[0], z.job)
	address := fmt.Sprintf("127.0.0.1:%d", freePort(ts)) // TCP's are scarcer
	packets, err := net.ListenPacket("udp", address)
	ts.Check(err)
	streams, err := net.Listen("tcp", address)
	ts.Check(err)
	servers := []*dns.Server{{PacketConn: packets}, {Listener: streams}}
	var running sync.WaitGroup
	for _, s := range servers {
		s.Handler, s.TsigSecret = z, map[string]string{zoneKeyName: zoneKey}
		s.MsgAcceptFunc = func(dns.Header) dns.MsgAcceptAction { return dns.MsgAccept } // updates too
		started := make(chan struct{})
		s.NotifyStartedFunc = func() { close(started) }
		running.Go(func() { s.ActivateAndServe() })
		<-started
	}
	ts.Setenv(args[0], address)
	ts.Defer(func() {
		for _, s := range servers {
			s.Shutdown()
		}
		running.Wait()
		close(z.job.ended)
	})
}

func (z *zone) ServeDNS(w dns.ResponseWriter, r *dns.Msg) {
	z.mu.Lock()
	defer z.mu.Unlock()
	answer := new(dns.Msg)
	answer.SetReply(r)
	answer.Authoritative = true
	switch {
	case r.Opcode == dns.OpcodeUpdate:
		z.update(w, r, answer)
	case len(r.Question) == 1:
		z.answer(r.Question[0], answer)
	}
	w.WriteMsg(answer)
}

// update changes the zone if the sender has the key.
func (z *zone) update(w dns.ResponseWriter, r, answer *dns.Msg) {
	if r.IsTsig() == nil || w.TsigStatus() != nil {
		answer.Rcode = dns.RcodeRefused
		z.printf("update refused: %v", w.TsigStatus())
		return
	}
	for _, rr := range r.Ns {
		name, class := rr.Header().Name, rr.Header().Class
		z.printf("update %s %s %s", dns.ClassToString[class], name, dns.TypeToString[rr.Header().Rrtype])
		switch class {
		case dns.ClassINET:
			z.records[name] = append(z.records[name], rr)
		case dns.ClassNONE: // this record, and not another challenge's (RFC 2136, 2.5.4)
			rr.Header().Class = dns.ClassINET
			z.records[name] = slices.DeleteFunc(z.records[name], func(old dns.RR) bool { return dns.IsDuplicate(old, rr) })
		default:
			delete(z.records, name)
		}
	}
	answer.SetTsig(r.IsTsig().Hdr.Name, r.IsTsig().Algorithm, 300, time.Now().Unix())
}

func (z *zone) answer(q dns.Question, answer *dns.Msg) {
	header := dns.RR_Header{Name: q.Name, Rrtype: q.Qtype, Class: dns.ClassINET}
	soa := &dns.SOA{Hdr: dns.RR_Header{Name: "test.", Rrtype: dns.TypeSOA, Class: dns.ClassINET}, Ns: "ns.test.", Mbox: "me.test.", Serial: 1}
	switch {
	case q.Qtype == dns.TypeSOA && q.Name == "test.":
		answer.Answer = append(answer.Answer, soa)
	case q.Qtype == dns.TypeNS && q.Name == "test.":
		answer.Answer = append(answer.Answer, &dns.NS{Hdr: header, Ns: "ns.test."})
	case q.Qtype == dns.TypeA && strings.HasSuffix(q.Name, "test."):
		answer.Answer = append(answer.Answer, &dns.A{Hdr: header, A: net.IPv4(127, 0, 0, 1)})
	default:
		for _, rr := range z.records[q.Name] {
			if rr.Header().Rrtype == q.Qtype {
				answer.Answer = append(answer.Answer, rr)
			}
		}
		if len(answer.Answer) == 0 {
			answer.Ns = append(answer.Ns, soa)
		}
	}
}

func (z *zone) printf(format string, args ...any) {
	fmt.Fprintf(stream{z.job, &z.job.stdout}, format+"\n", args...)
}
