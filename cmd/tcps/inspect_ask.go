package main

import (
	"context"
	"crypto/tls"
	"crypto/x509/pkix"
	"encoding/asn1"
	"slices"
	"sync"

	"tcps/internal/probe"
	"tcps/internal/terminal"
	"tcps/tlsclient"
)

// askVersions asks for one version after the other, the newest first.
func (i *inspection) askVersions(ctx context.Context) {
	for _, number := range slices.Backward(probe.Versions) {
		v := inspectVersion{Name: probe.VersionName(number)}
		var err error
		v.found, err = i.prober.Version(ctx, number)
		switch refusal, refused := err.(*probe.Refusal); {
		case err == nil:
			v.Spoken = answerYes
			v.Verdict, v.Why = probe.JudgeVersion(number)
			if number < tls.VersionTLS13 {
				v.SecureRenegotiation, v.ExtendedMasterSecret = &v.found.SecureRenegotiation, &v.found.ExtendedMaster
			}
		case refused:
			v.Spoken, v.Refusal = answerNo, refusal.Error()
		default:
			v.Spoken = answerUnknown
			i.unknown(v.Name, err)
		}
		i.report.Versions = append(i.report.Versions, v)
	}
}

// askSuitesAndGroups asks for the suites of each version that is spoken, and for
// the groups of the newest.
func (i *inspection) askSuitesAndGroups(ctx context.Context) {
	var asking sync.WaitGroup
	newest := true
	for n := range i.report.Versions {
		v := &i.report.Versions[n]
		if v.found == nil {
			continue
		}
		withGroups := newest
		newest = false
		asking.Go(func() {
			suites, err := i.prober.Suites(ctx, v.found)
			for _, s := range suites {
				verdict, why := s.Judge()
				v.Suites = append(v.Suites, inspectSuite{s.Name, int(s.ID), verdict, why})
			}
			if err != nil {
				i.unknown("suites of "+v.Name, err)
			}
			if withGroups {
				i.askGroups(ctx, v, suites)
			}
		})
	}
	asking.Wait()
}

func (i *inspection) askGroups(ctx context.Context, v *inspectVersion, suites []probe.Suite) {
	groups, err := i.prober.Groups(ctx, v.found.Number, suites)
	for _, g := range groups {
		verdict, why := g.Judge()
		i.report.Groups = append(i.report.Groups, inspectGroup{g.Name, int(g.ID), g.PostQuantum, verdict, why})
		i.report.PostQuantum = i.report.PostQuantum || g.PostQuantum
	}
	i.report.groupsOf = v.Name
	if err != nil {
		i.unknown("groups", err)
	}
}

// askCertificate finds out how the server asks for a certificate of ours, and
// what it thinks of it.
func (i *inspection) askCertificate(ctx context.Context, first *probe.Outcome) {
	r := &i.report.Client
	switch {
	case first.Request == nil && first.Err != nil:
		r.Wanted = wantedUnknown
	case first.Request == nil:
		r.Wanted = wantedNo
	case first.Err == nil:
		r.Wanted = wantedOptional
	case i.handshakeError(first.Err).Reason.Kind() == "peer-refused-us":
		r.Wanted = wantedRequired
	default:
		r.Wanted = wantedUnknown
	}
	if first.Request == nil {
		return
	}
	r.Authorities = authoritiesInWords(first.Request.AcceptableCAs)
	if i.dialer.Source != nil {
		i.presentOurs(ctx)
	}
}

func (i *inspection) presentOurs(ctx context.Context) {
	r, presented := &i.report.Client, false
	h := i.whole(0)
	h.Wait = true
	h.Certificate = func(request *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		cert, err := i.dialer.Source.ClientCertificate(request)
		presented = err == nil && len(cert.Certificate) > 0
		return cert, err
	}
	o := i.prober.Handshake(ctx, h)
	switch why := i.handshakeError(o.Err); {
	case !presented && o.Request != nil:
		r.Ours = "not presented: the server names other authorities, or signs in other ways"
	case why == nil:
		r.Ours = "accepted"
	case why.Reason.Kind() == "peer-refused-us":
		r.Ours = "refused: " + terminal.Printable(why.Err.Error())
		i.fault(why.Reason, "our certificate is refused: "+why.Err.Error())
	default:
		i.unknown("our certificate", why)
	}
}

// maxAuthorities is how many authorities of a request are told.
const maxAuthorities = 100

// authoritiesInWords reads the names of the authorities whose certificates a
// server accepts (RFC 8446, 4.2.4).
func authoritiesInWords(raw [][]byte) []string {
	var names []string
	for _, der := range raw[:min(len(raw), maxAuthorities)] {
		var sequence pkix.RDNSequence
		name := "(not readable)"
		if rest, err := asn1.Unmarshal(der, &sequence); err == nil && len(rest) == 0 {
			var n pkix.Name
			n.FillFromRDNSequence(&sequence)
			name = terminal.Printable(n.String())
		}
		names = append(names, name)
	}
	return names
}

// askALPN offers the protocols, and each time leaves out the one that was chosen.
func (i *inspection) askALPN(ctx context.Context) {
	r := &i.report.ALPN
	r.Asked, r.Required = i.protocols, len(i.prober.NextProtos) > 0
	for left := i.protocols; len(left) > 0; {
		h := i.whole(0)
		h.NextProtos = left
		o := i.prober.Handshake(ctx, h)
		chosen := o.State.NegotiatedProtocol
		if why := i.handshakeError(o.Err); why != nil && o.State.CipherSuite == 0 && why.Reason != tlsclient.ReasonALPN {
			i.unknown("ALPN", why)
			return
		}
		if chosen == "" {
			return
		}
		r.Accepted = append(r.Accepted, chosen)
		left = slices.DeleteFunc(slices.Clone(left), func(p string) bool { return p == chosen })
	}
}

// askResumption dials twice in each version that has tickets and is spoken.
func (i *inspection) askResumption(ctx context.Context) {
	for _, v := range i.report.Versions {
		if v.found == nil || v.found.Number < tls.VersionTLS12 {
			continue
		}
		i.report.Resumption = append(i.report.Resumption, i.resume(ctx, v))
	}
}

func (i *inspection) resume(ctx context.Context, v inspectVersion) inspectResumption {
	r := inspectResumption{Version: v.Name, Resumes: answerUnknown}
	ticket := &probe.Ticket{}
	h := i.whole(v.found.Number)
	h.Ticket, h.Wait = ticket, true
	if o := i.prober.Handshake(ctx, h); o.Err != nil {
		switch refused := i.handshakeError(o.Err).Reason.Kind() == "peer-refused-us"; {
		case refused && o.Request != nil:
			r.Why = "the server wants a certificate of ours first (--cert)"
		case refused && len(o.State.PeerCertificates) > 0:
			r.Why = "the server refuses the handshake"
		case refused:
			r.Why = "crypto/tls has no suite or group for it"
		default:
			i.unknown("resumption in "+v.Name, o.Err)
		}
		return r
	}
	if !ticket.Came() {
		r.Resumes, r.Why = answerNo, "it gives no ticket"
		return r
	}
	h.Wait = false
	o := i.prober.Handshake(ctx, h)
	switch {
	case o.State.DidResume:
		r.Resumes = answerYes
	case o.Err != nil:
		i.unknown("resumption in "+v.Name, o.Err)
	default:
		r.Resumes, r.Why = answerNo, "it gives a ticket, and does not take it back"
	}
	return r
}
