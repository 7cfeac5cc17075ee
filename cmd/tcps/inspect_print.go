package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"tcps/certs"
	"tcps/internal/probe"
)

// print says the report in words: a section a subject, and before what is wrong
// or weak an exclamation mark.
func (r *inspectReport) print(w io.Writer) {
	p := inspectPrinter{w}
	fmt.Fprintf(w, "%s", r.Endpoint)
	if r.Address != "" {
		fmt.Fprintf(w, " (%s)", r.Address)
	}
	if r.StartTLS != "" {
		fmt.Fprintf(w, ", by STARTTLS in %s", r.StartTLS)
	}
	if r.Via != "" {
		fmt.Fprintf(w, ", through the proxy %s", r.Via)
	}
	fmt.Fprintf(w, ", %s\n", counted(r.Connections, "connection"))
	p.verdict(r)
	p.versions(r)
	p.groups(r)
	p.talk(r)
	p.certificates(r)
	p.clientCertificate(r.Client)
	if len(r.Failed) > 0 {
		p.section("not found out")
		for _, f := range r.Failed {
			p.line(true, "%s: %s", f.What, f.Error)
		}
	}
	p.section("not asked")
	for _, what := range r.NotAsked {
		p.line(false, "%s", what)
	}
}

// An inspectPrinter writes lines below headings.
type inspectPrinter struct{ w io.Writer }

func (p inspectPrinter) section(name string) { fmt.Fprintf(p.w, "\n%s\n", name) }

func (p inspectPrinter) line(wrong bool, format string, args ...any) {
	mark := "   "
	if wrong {
		mark = " ! "
	}
	fmt.Fprintf(p.w, "%s %s\n", mark, strings.TrimRight(fmt.Sprintf(format, args...), " "))
}

func (p inspectPrinter) verdict(r *inspectReport) {
	p.section("verdict")
	for _, f := range r.Faults {
		p.line(true, "%s (%s, exit status %d)", f.Text, f.Reason, f.ExitStatus)
	}
	if r.Due {
		p.line(true, "the certificate needs renewal: %s left (exit status %d if nothing else is wrong)", counted(*r.DaysLeft, "day"), exitDue)
	}
	switch {
	case len(r.Failed) > 0:
		p.line(true, "not everything could be found out (exit status %d if nothing else is wrong)", r.statusOfFailed())
	case r.ExitStatus == 0:
		p.line(false, "clients of today accept it")
	}
	if r.Weak > 0 {
		p.line(true, "it accepts %s, marked below", counted(r.Weak, "weak thing"))
	}
}

func (p inspectPrinter) versions(r *inspectReport) {
	p.section("versions")
	for _, v := range r.Versions {
		p.line(v.Verdict == probe.Weak, "%-9s %s", v.Name, judged(string(v.Spoken), v.Verdict, v.Why+v.Refusal))
		if v.SecureRenegotiation != nil && !*v.SecureRenegotiation {
			p.line(true, "%-9s without secure renegotiation (RFC 5746)", "")
		}
		if v.ExtendedMasterSecret != nil && !*v.ExtendedMasterSecret {
			p.line(true, "%-9s without extended master secret (RFC 7627)", "")
		}
	}
	p.section("suites")
	width := 0
	for _, v := range r.Versions {
		for _, s := range v.Suites {
			width = max(width, len(s.Name))
		}
	}
	for _, v := range r.Versions {
		for _, s := range v.Suites {
			p.line(s.Verdict == probe.Weak, "%-9s %-*s  %s", v.Name, width, s.Name, judged("", s.Verdict, s.Why))
		}
	}
}

// judged is a verdict after the word that it is about, and why it is not better.
func judged(word string, verdict probe.Verdict, why string) string {
	text := string(verdict)
	switch {
	case word == "":
	case text == "":
		text = word
	default:
		text = word + ", " + text
	}
	if why != "" {
		text += ": " + why
	}
	return text
}

func (p inspectPrinter) groups(r *inspectReport) {
	if r.groupsOf == "" {
		return
	}
	p.section("groups (" + r.groupsOf + ")")
	for _, g := range r.Groups {
		kind := ""
		if g.PostQuantum {
			kind = "post-quantum"
		}
		p.line(g.Verdict == probe.Weak, "%-22s %s", g.Name, judged(kind, g.Verdict, g.Why))
	}
	p.line(false, "post-quantum: %s", yesNo(r.PostQuantum))
}

func (p inspectPrinter) talk(r *inspectReport) {
	p.section("ALPN")
	switch {
	case len(r.ALPN.Asked) == 0:
		p.line(true, "not known: no handshake came to an end")
	case len(r.ALPN.Accepted) == 0:
		p.line(false, "none of %s", strings.Join(r.ALPN.Asked, ", "))
	case r.ALPN.Required:
		p.line(false, "%s; one of them is required", strings.Join(r.ALPN.Accepted, ", "))
	default:
		p.line(false, "%s", strings.Join(r.ALPN.Accepted, ", "))
	}
	if len(r.Resumption) == 0 {
		return
	}
	p.section("resumption by ticket")
	for _, s := range r.Resumption {
		p.line(false, "%-9s %s", s.Version, judged(string(s.Resumes), "", s.Why))
	}
}

func (p inspectPrinter) certificates(r *inspectReport) {
	p.section("certificates")
	if r.Chain == nil {
		p.line(true, "none was seen")
		return
	}
	for n, c := range r.Presented {
		p.line(false, "%d  %s", n+1, r.lines[n])
		p.line(false, "   %s, key %s, signature %s", c.Kind, c.Key, c.Signature)
		p.problems(c.Problems)
	}
	if r.Chain.Complete {
		p.line(false, "the chain is complete")
	} else {
		p.line(true, "the chain ends below %s", r.Chain.Missing)
	}
	p.problems(r.Chain.Problems)
	if *r.DaysLeft >= 0 {
		p.line(r.Due, "%s left, until %s", counted(*r.DaysLeft, "day"), r.Until.Format(time.RFC3339))
	}
	p.section("OCSP")
	switch {
	case !r.OCSP.Stapled:
		p.line(false, "not stapled")
	case r.OCSP.Status != "":
		p.line(r.OCSP.Status != "good", "stapled: %s, from %s until %s", r.OCSP.Status, r.OCSP.ThisUpdate.Format(time.RFC3339), r.OCSP.NextUpdate.Format(time.RFC3339))
	}
	p.problems(r.OCSP.Problems)
}

func (p inspectPrinter) problems(problems []certs.Problem) {
	for _, problem := range problems {
		p.line(true, "   %s", problem.Text)
	}
}

func (p inspectPrinter) clientCertificate(r inspectClientCertificate) {
	p.section("client certificate")
	switch r.Wanted {
	case wantedNo:
		p.line(false, "not wanted")
	case wantedUnknown:
		p.line(true, "whether one is wanted is not known")
	default:
		p.line(false, "%s", r.Wanted)
		if len(r.Authorities) == 0 {
			p.line(false, "of any authority: the server names none")
		}
	}
	for _, name := range r.Authorities {
		p.line(false, "of %s", name)
	}
	if r.Ours != "" {
		p.line(!strings.HasPrefix(r.Ours, "accepted"), "ours: %s", r.Ours)
	}
}
