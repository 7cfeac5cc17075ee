package certs

import (
	"crypto/x509"
	"errors"
	"time"

	"tcps/internal/reason"
)

// Faults is Verify for those who want to hear of everything that is wrong, in the order of the exit codes: who issued
// it, for what use, for what name, its time, whether it is revoked. It returns the way to a root as far as it was found,
// and nothing wrong for a certificate that Verify accepts.
func Faults(chain []*x509.Certificate, o VerifyOptions) (path []*x509.Certificate, faults []*VerifyError) {
	if o.At.IsZero() {
		o.At = time.Now()
	}
	for _, i := range pathFrom(0, chain) {
		path = append(path, chain[i])
	}
	trusted := VerifyOptions{Roots: o.Roots, Usage: UsageAny, At: o.At}
	ways, err := trusted.verify(chain, trusted.At)
	if err != nil {
		trusted.At = commonTime(path)
		ways, err = trusted.verify(chain, trusted.At)
	}
	switch {
	case err == nil:
		path = shortest(ways)
	case !isOfTime(err):
		faults = append(faults, trusted.explain(chain, err))
	}
	if refused := o.wrongUsage(chain, trusted.At, err == nil); refused != nil {
		faults = append(faults, refused)
	}
	if o.Name != "" {
		if err := chain[0].VerifyHostname(o.Name); err != nil {
			faults = append(faults, o.explain(chain, err))
		}
	}
	if late := outsideItsTime(path, o.At); late != nil {
		faults = append(faults, late)
	} else if err != nil && isOfTime(err) {
		faults = append(faults, &VerifyError{Reason: reason.Expired, Last: path[len(path)-1], Err: errors.New("its root is outside of its time")})
	}
	if err == nil && o.Revocation != nil {
		if err := o.Revocation.Check(ways); err != nil {
			faults = append(faults, refusedAsRevoked(err, chain[0]))
		}
	}
	return path, faults
}

// wrongUsage asks the whole chain where there is one: an authority may be limited to a use too.
func (o VerifyOptions) wrongUsage(chain []*x509.Certificate, at time.Time, trusted bool) *VerifyError {
	wanted := x509.ExtKeyUsageServerAuth
	switch o.Usage {
	case UsageServer:
	case UsageClient:
		wanted = x509.ExtKeyUsageClientAuth
	default:
		return nil
	}
	err := error(x509.CertificateInvalidError{Cert: chain[0], Reason: x509.IncompatibleUsage})
	if trusted {
		_, err = VerifyOptions{Roots: o.Roots, Usage: o.Usage}.verify(chain, at)
	} else if usableAs(chain[0], wanted) {
		err = nil
	}
	if err == nil {
		return nil
	}
	return o.explain(chain, err)
}

// DescribePresented says how the certificates hang together that a server presents, its own first, and what is wrong
// with that: it is a chain of one even where that is an authority's. chain is not empty.
func DescribePresented(chain []*x509.Certificate, roots *x509.CertPool, now time.Time) *ChainDescription {
	d := describeChainFrom(0, chain, roots, now)
	if last := chain[d.Path[len(d.Path)-1]-1]; len(d.Path) > 1 && isSelfSigned(last) {
		d.add("chain-root", "the root %s need not be sent: who trusts it has it", subject(last))
	}
	return d
}
