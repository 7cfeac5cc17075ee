package main

import (
	"cmp"
	"crypto/x509"
	"slices"
	"time"

	"tcps/certs"
	"tcps/internal/probe"
	"tcps/internal/terminal"
	"tcps/tlsclient"
)

// An inspectReport is what tcps inspect reports; docs/json.md describes each field.
type inspectReport struct {
	Version     int                            `json:"version"`
	Endpoint    string                         `json:"endpoint"`
	Address     string                         `json:"address,omitempty"`
	Name        string                         `json:"name,omitempty"`
	StartTLS    string                         `json:"starttls,omitempty"`
	Via         string                         `json:"via,omitempty"`
	At          time.Time                      `json:"at"`
	ExitStatus  int                            `json:"exit_status"`
	Faults      []inspectFault                 `json:"faults,omitempty"`
	Weak        int                            `json:"weak"`
	Due         bool                           `json:"due"`
	DaysLeft    *int                           `json:"days_left,omitempty"`
	Until       time.Time                      `json:"until,omitzero"`
	Versions    []inspectVersion               `json:"versions"`
	Groups      []inspectGroup                 `json:"groups,omitempty"`
	PostQuantum bool                           `json:"post_quantum"`
	ALPN        inspectALPN                    `json:"alpn"`
	Resumption  []inspectResumption            `json:"resumption,omitempty"`
	Presented   []certs.CertificateDescription `json:"certificates,omitempty"`
	Chain       *certs.ChainDescription        `json:"chain,omitempty"`
	OCSP        *certs.StapleDescription       `json:"ocsp,omitempty"`
	Client      inspectClientCertificate       `json:"client_certificate"`
	Connections int                            `json:"connections"`
	Failed      []inspectFailure               `json:"failed,omitempty"`
	NotAsked    []string                       `json:"not_asked"`

	groupsOf string   // the version that the groups are of
	lines    []string // the certificates, a line each
}

// An inspectFault is why clients refuse the server, or it them.
type inspectFault struct {
	Reason     tlsclient.Reason `json:"reason"`
	ExitStatus int              `json:"exit_status"`
	Text       string           `json:"text"`
}

// An inspectAnswer is how sure something is.
type inspectAnswer string

const (
	answerYes     inspectAnswer = "yes"
	answerNo      inspectAnswer = "no"
	answerUnknown inspectAnswer = "unknown"
)

type inspectVersion struct {
	Name                 string         `json:"name"`
	Spoken               inspectAnswer  `json:"spoken"`
	Refusal              string         `json:"refusal,omitempty"`
	Verdict              probe.Verdict  `json:"verdict,omitempty"`
	Why                  string         `json:"why,omitempty"`
	SecureRenegotiation  *bool          `json:"secure_renegotiation,omitempty"`
	ExtendedMasterSecret *bool          `json:"extended_master_secret,omitempty"`
	Suites               []inspectSuite `json:"suites,omitempty"`

	found *probe.Version // nil: it is not spoken
}

type inspectSuite struct {
	Name    string        `json:"name"`
	ID      int           `json:"id"`
	Verdict probe.Verdict `json:"verdict"`
	Why     string        `json:"why,omitempty"`
}

type inspectGroup struct {
	Name        string        `json:"name"`
	ID          int           `json:"id"`
	PostQuantum bool          `json:"post_quantum"`
	Verdict     probe.Verdict `json:"verdict"`
	Why         string        `json:"why,omitempty"`
}

type inspectALPN struct {
	Asked    []string `json:"asked,omitempty"`
	Accepted []string `json:"accepted,omitempty"`
	Required bool     `json:"required"`
}

type inspectResumption struct {
	Version string        `json:"version"`
	Resumes inspectAnswer `json:"resumes"`
	Why     string        `json:"why,omitempty"`
}

// An inspectWanted says how a server asks for a certificate.
type inspectWanted string

const (
	wantedNo       inspectWanted = "no"
	wantedOptional inspectWanted = "optional"
	wantedRequired inspectWanted = "required"
	wantedUnknown  inspectWanted = "unknown"
)

type inspectClientCertificate struct {
	Wanted      inspectWanted `json:"wanted"`
	Authorities []string      `json:"authorities,omitempty"`
	Ours        string        `json:"ours,omitempty"`
}

type inspectFailure struct {
	What    string `json:"what"`
	Error   string `json:"error"`
	Timeout bool   `json:"timeout"`
}

func (i *inspection) fault(why tlsclient.Reason, text string) {
	code := why.ExitCode()
	if code == 0 {
		code = exitFailed
	}
	i.report.Faults = append(i.report.Faults, inspectFault{why, code, terminal.Printable(text)})
}

// faultOfTLS is a fault of the exit status for TLS that is not agreed on, whatever
// that of its reason is.
func (i *inspection) faultOfTLS(why tlsclient.Reason, text string) {
	i.report.Faults = append(i.report.Faults, inspectFault{why, tlsclient.ReasonVersion.ExitCode(), terminal.Printable(text)})
}

// judge says what is wrong with the certificate, and from all of it what the exit
// status is.
func (i *inspection) judge(o *probe.Outcome) {
	r := i.report
	r.NotAsked, r.Weak = notAsked(r), r.countWeak()
	if len(o.State.PeerCertificates) > 0 {
		i.judgeChain(o, time.Now())
	}
	slices.SortStableFunc(r.Faults, func(a, b inspectFault) int { return cmp.Compare(a.ExitStatus, b.ExitStatus) })
	switch {
	case len(r.Faults) > 0:
		r.ExitStatus = r.Faults[0].ExitStatus
	case len(r.Failed) > 0:
		r.ExitStatus = r.statusOfFailed()
	case r.Due:
		r.ExitStatus = exitDue
	}
}

func (i *inspection) judgeChain(o *probe.Outcome, now time.Time) {
	r, chain := i.report, o.State.PeerCertificates
	path, faults := certs.Faults(chain, certs.VerifyOptions{
		Roots: i.dialer.RootCAs, Name: r.Name, Usage: certs.UsageServer, At: now, Revocation: i.dialer.Revocation,
	})
	for _, f := range faults {
		i.fault(f.Reason, "the certificate: "+f.Error())
	}
	r.Chain = certs.DescribePresented(chain, i.dialer.RootCAs, now)
	for _, c := range chain {
		r.Presented = append(r.Presented, certs.DescribeCertificate(c, now))
		r.lines = append(r.lines, certs.OneLine(c))
	}
	staple := certs.DescribeStaple(o.State.OCSPResponse, path, now)
	r.OCSP = &staple
	if staple.Revoked {
		i.fault(tlsclient.ReasonRevoked, "the certificate: "+staple.Problems[0].Text)
	}
	first := slices.MinFunc(path, func(a, b *x509.Certificate) int { return a.NotAfter.Compare(b.NotAfter) })
	days := daysBetween(now, first.NotAfter)
	r.Until, r.DaysLeft, r.Due = first.NotAfter.UTC(), &days, i.isDue(first, now)
}

// daysBetween counts whole days. A time.Duration would end at 292 years.
func daysBetween(from, to time.Time) int {
	seconds := to.Unix() - from.Unix()
	if to.Nanosecond() < from.Nanosecond() {
		seconds--
	}
	return int(seconds / (24 * 3600))
}

// countWeak counts what is accepted and should not be.
func (r *inspectReport) countWeak() (count int) {
	for _, v := range r.Versions {
		if v.Verdict == probe.Weak {
			count++
		}
		for _, s := range v.Suites {
			if s.Verdict == probe.Weak {
				count++
			}
		}
	}
	for _, g := range r.Groups {
		if g.Verdict == probe.Weak {
			count++
		}
	}
	return count
}

// statusOfFailed is the exit status for what could not be found out.
func (r *inspectReport) statusOfFailed() int {
	if slices.ContainsFunc(r.Failed, func(f inspectFailure) bool { return f.Timeout }) {
		return exitTimeout
	}
	return exitFailed
}

// isDue tells whether a certificate needs renewal; one that has expired is a fault
// already.
func (i *inspection) isDue(c *x509.Certificate, now time.Time) bool {
	if i.warn < 0 || now.After(c.NotAfter) {
		return false
	}
	before := time.Duration(i.warn) * 24 * time.Hour
	if !i.warnGiven { // a short-lived one is as good as new with a week left
		before = min(before, c.NotAfter.Sub(c.NotBefore)/3)
	}
	return c.NotAfter.Sub(now) < before
}

// notAsked is what the report says nothing about.
func notAsked(r *inspectReport) []string {
	list := []string{
		"SSL 2.0, DTLS, QUIC, early data (0-RTT), Encrypted Client Hello",
		"suites with PSK, SRP, Kerberos, GOST or SM4; in which order the server prefers suites",
		"compression, renegotiation by the client, heartbeat, and other known faults of implementations",
		"the size of the group of DHE up to TLS 1.2, and groups of versions older than the newest",
		"resumption by session id (TLS 1.2) or in versions before it",
		"OCSP responders and revocation lists that the certificate names",
		"certificates for other names or of other key types, and other addresses of the host",
		"application protocols other than those named under ALPN",
	}
	if r.Name == "" {
		list = append(list, "whether the certificate is for the right name: say which with --name")
	}
	return list
}
