package certs_test

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tcps/certs"
)

// A hierarchy is a chain whose keys the test has, and what makes lists of it.
type hierarchy struct {
	root, intermediate, leaf made
	chain                    []*x509.Certificate // leaf first
}

func newHierarchy(t testing.TB) *hierarchy {
	t.Helper()
	authority := func(name string) func(*x509.Certificate) {
		return func(c *x509.Certificate) {
			c.Subject.CommonName, c.IsCA = name, true
			c.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
		}
	}
	h := &hierarchy{}
	h.root = sign(t, nil, nil, authority("root"))
	h.intermediate = sign(t, h.root.cert, h.root.key, authority("intermediate"))
	h.leaf = sign(t, h.intermediate.cert, h.intermediate.key, func(c *x509.Certificate) { c.Subject.CommonName = "alice" })
	h.chain = []*x509.Certificate{h.leaf.cert, h.intermediate.cert, h.root.cert}
	return h
}

// crl is a list of issuer as change leaves the template, in DER form.
func crl(t testing.TB, issuer made, change func(*x509.RevocationList), revoked ...*x509.Certificate) []byte {
	t.Helper()
	return crlBy(t, issuer.cert, issuer.key, change, revoked...)
}

func crlBy(t testing.TB, issuer *x509.Certificate, key crypto.Signer, change func(*x509.RevocationList), revoked ...*x509.Certificate) []byte {
	t.Helper()
	template := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: time.Now().Add(-time.Minute), NextUpdate: time.Now().Add(time.Hour)}
	for _, c := range revoked {
		template.RevokedCertificateEntries = append(template.RevokedCertificateEntries, x509.RevocationListEntry{
			SerialNumber: c.SerialNumber, RevocationTime: time.Now().Add(-3 * time.Hour), ReasonCode: 1,
		})
	}
	if change != nil {
		change(template)
	}
	der, err := x509.CreateRevocationList(rand.Reader, template, issuer, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func crlPEM(ders ...[]byte) []byte {
	var all []byte
	for _, der := range ders {
		all = append(all, pemBlock("X509 CRL", der)...)
	}
	return all
}

func parseLists(t testing.TB, ders ...[]byte) []*certs.RevocationList {
	t.Helper()
	var all []*certs.RevocationList
	for _, der := range ders {
		lists, err := certs.ParseRevocationLists("test.crl", der)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, lists...)
	}
	return all
}

func load(t testing.TB, o certs.RevocationOptions) *certs.Revocation {
	t.Helper()
	r, err := certs.LoadRevocation(o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// wantRefused checks why a chain is refused.
func wantRefused(t testing.TB, err error, parts ...string) *certs.RevocationError {
	t.Helper()
	wantError(t, err, parts...)
	refusal, ok := errors.AsType[*certs.RevocationError](err)
	if !ok {
		t.Fatalf("%v is a %T, want a *certs.RevocationError", err, err)
	}
	return refusal
}

func TestEveryCertificateButTheRootNeedsAListThatDoesNotNameIt(t *testing.T) {
	h := newHierarchy(t)
	other := sign(t, h.intermediate.cert, h.intermediate.key, func(*x509.Certificate) {})
	clean, cleanRoot := crl(t, h.intermediate, nil, other.cert), crl(t, h.root, nil)
	for _, c := range []struct {
		name  string
		lists [][]byte
		want  string // empty: the chain is good
		who   *x509.Certificate
	}{
		{"both", [][]byte{clean, cleanRoot}, "", nil},
		{"not the root's", [][]byte{clean}, "certificate CN=intermediate .* may have been revoked: there is no revocation list of its issuer CN=root", h.intermediate.cert},
		{"not the intermediate's", [][]byte{cleanRoot}, "certificate CN=alice .* may have been revoked: there is no revocation list of its issuer CN=intermediate", h.leaf.cert},
		{"the leaf is revoked", [][]byte{crl(t, h.intermediate, nil, other.cert, h.leaf.cert), cleanRoot}, "certificate CN=alice .* was revoked by CN=intermediate 3 hours ago, at .* key compromise", h.leaf.cert},
		{"the intermediate is revoked", [][]byte{clean, crl(t, h.root, nil, h.intermediate.cert)}, "certificate CN=intermediate .* was revoked by CN=root", h.intermediate.cert},
		{"the serial is another issuer's", [][]byte{clean, crl(t, h.root, nil, h.leaf.cert)}, "", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := load(t, certs.RevocationOptions{Lists: parseLists(t, c.lists...)})
			for range 2 { // the second time by what was remembered of the signature
				err := r.Check([][]*x509.Certificate{h.chain})
				if c.want == "" {
					if err != nil {
						t.Error(err)
					}
					continue
				}
				refusal := wantRefused(t, err, strings.Split(c.want, " .* ")...)
				if refusal.Leaf != h.leaf.cert || refusal.Certificate != c.who {
					t.Errorf("refused %v of %v", refusal.Certificate.Subject, refusal.Leaf.Subject)
				}
			}
		})
	}
}

func TestMissingAndStaleListsCanBeAccepted(t *testing.T) {
	h := newHierarchy(t)
	stale := func(l *x509.RevocationList) {
		l.ThisUpdate, l.NextUpdate = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
	}
	for _, c := range []struct {
		name           string
		lists          [][]byte
		missing, stale bool
		want           string
	}{
		{"missing, refused", [][]byte{crl(t, h.intermediate, nil)}, false, true, "no revocation list of its issuer CN=root"},
		{"missing, accepted", [][]byte{crl(t, h.intermediate, nil)}, true, false, ""},
		{"stale, refused", [][]byte{crl(t, h.intermediate, stale), crl(t, h.root, nil)}, true, false, `revocation list "test.crl" of CN=intermediate expired 60 minutes ago`},
		{"stale, accepted", [][]byte{crl(t, h.intermediate, stale), crl(t, h.root, nil)}, false, true, ""},
		{"stale, and it names the leaf", [][]byte{crl(t, h.intermediate, stale, h.leaf.cert), crl(t, h.root, nil)}, false, false, "was revoked by CN=intermediate"},
		{"stale and accepted, and it names the leaf", [][]byte{crl(t, h.intermediate, stale, h.leaf.cert), crl(t, h.root, nil)}, false, true, "was revoked by CN=intermediate"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := load(t, certs.RevocationOptions{Lists: parseLists(t, c.lists...), AcceptMissing: c.missing, AcceptStale: c.stale})
			err := r.Check([][]*x509.Certificate{h.chain})
			if c.want != "" {
				wantRefused(t, err, c.want)
			} else if err != nil {
				t.Error(err)
			}
			warned := slices.ContainsFunc(r.Warnings(), func(w string) bool { return strings.Contains(w, "expired 60 minutes ago") })
			if want := strings.HasPrefix(c.name, "stale"); warned != want {
				t.Errorf("warnings %q: want one about a stale list: %v", r.Warnings(), want)
			}
		})
	}
}

func TestTheNewestListOfAnIssuerCounts(t *testing.T) {
	h := newHierarchy(t)
	older := func(l *x509.RevocationList) { l.Number = big.NewInt(7) }
	newer := func(l *x509.RevocationList) { l.Number, l.ThisUpdate = big.NewInt(8), l.ThisUpdate.Add(-time.Minute) }
	future := func(l *x509.RevocationList) {
		l.Number, l.ThisUpdate, l.NextUpdate = big.NewInt(9), time.Now().Add(time.Hour), time.Now().Add(2*time.Hour)
	}
	root := crl(t, h.root, nil)
	check := func(lists ...[]byte) error {
		for _, order := range [][][]byte{lists, {lists[1], lists[0]}} {
			r := load(t, certs.RevocationOptions{Lists: parseLists(t, append(order, root)...)})
			if err := r.Check([][]*x509.Certificate{h.chain}); err != nil {
				return err
			}
		}
		return nil
	}
	wantRefused(t, check(crl(t, h.intermediate, older), crl(t, h.intermediate, newer, h.leaf.cert)), "was revoked")
	if err := check(crl(t, h.intermediate, older, h.leaf.cert), crl(t, h.intermediate, newer)); err != nil {
		t.Errorf("a hold that the newer list has lifted: %v", err)
	}
	if err := check(crl(t, h.intermediate, older), crl(t, h.intermediate, future, h.leaf.cert)); err != nil {
		t.Errorf("a list of tomorrow counts today: %v", err)
	}
	r := load(t, certs.RevocationOptions{Lists: parseLists(t, crl(t, h.intermediate, future), root)})
	wantRefused(t, r.Check([][]*x509.Certificate{h.chain}), "is not valid yet: it begins in 59 minutes")
	if w := r.Warnings(); len(w) != 1 || !strings.Contains(w[0], "not valid yet") {
		t.Errorf("warnings %q, want one about the list that is not valid yet", w)
	}
}

func TestAListCountsOnlyIfItsIssuerHasSignedItAndMay(t *testing.T) {
	h, foreign := newHierarchy(t), newHierarchy(t)
	root := crl(t, h.root, nil)
	check := func(lists ...[]byte) error {
		r := load(t, certs.RevocationOptions{Lists: parseLists(t, append(lists, root)...)})
		return r.Check([][]*x509.Certificate{h.chain})
	}
	// The same name, another key: once with that key's identifier, once with the true issuer's.
	wantRefused(t, check(crl(t, foreign.intermediate, nil)), "there is no revocation list of its issuer")
	lying := *foreign.intermediate.cert
	lying.SubjectKeyId = h.intermediate.cert.SubjectKeyId
	forged := crlBy(t, &lying, foreign.intermediate.key, func(l *x509.RevocationList) { l.Number = big.NewInt(99) })
	wantRefused(t, check(forged), `revocation list "test.crl" is not signed by CN=intermediate`)
	if err := check(forged, crl(t, h.intermediate, nil)); err != nil {
		t.Errorf("a forged list hides the true one: %v", err)
	}
	wantRefused(t, check(forged, crl(t, h.intermediate, nil, h.leaf.cert)), "was revoked")

	mayNot := sign(t, h.root.cert, h.root.key, func(c *x509.Certificate) {
		c.Subject.CommonName, c.IsCA, c.KeyUsage = "may not", true, x509.KeyUsageCertSign
	})
	leaf := sign(t, mayNot.cert, mayNot.key, func(*x509.Certificate) {})
	signer := *mayNot.cert
	signer.KeyUsage |= x509.KeyUsageCRLSign
	r := load(t, certs.RevocationOptions{Lists: parseLists(t, crlBy(t, &signer, mayNot.key, nil), root)})
	wantRefused(t, r.Check([][]*x509.Certificate{{leaf.cert, mayNot.cert, h.root.cert}}), "the key usage of CN=may not does not let it sign revocation lists")
}

func TestAKnownAuthorityMustHaveSignedTheListsInItsName(t *testing.T) {
	h, foreign := newHierarchy(t), newHierarchy(t)
	dir := t.TempDir()
	authority := write(t, dir, "ca.pem", h.root.certPEM)
	lying := *foreign.root.cert
	lying.SubjectKeyId = h.root.cert.SubjectKeyId
	forged := write(t, dir, "forged.crl", crlBy(t, &lying, foreign.root.key, nil))
	for _, authorities := range []string{authority, dir} { // a file, a folder
		_, err := certs.LoadRevocation(certs.RevocationOptions{Files: []string{forged}, Authorities: []string{authorities}})
		wantError(t, err, "load revocation list: ", "forged.crl", "is not signed by CN=root")
		load(t, certs.RevocationOptions{Files: []string{write(t, dir, "good.crl", crl(t, h.root, nil))}, Authorities: []string{authorities}})
	}
	load(t, certs.RevocationOptions{Files: []string{write(t, dir, "unknown.crl", crl(t, h.intermediate, nil))}, Authorities: []string{authority}})
	_, err := certs.LoadRevocation(certs.RevocationOptions{Files: []string{forged}, Authorities: []string{filepath.Join(dir, "none.pem")}})
	wantError(t, err, "load authority ", "none.pem")
}

// One good chain is enough (RFC 4158: cross-signing makes several), except for a leaf that its issuer revoked.
func TestOneGoodChainIsEnoughUnlessTheLeafIsRevoked(t *testing.T) {
	h := newHierarchy(t)
	other := sign(t, nil, nil, func(c *x509.Certificate) {
		c.Subject.CommonName, c.IsCA, c.KeyUsage = "other root", true, x509.KeyUsageCertSign|x509.KeyUsageCRLSign
	})
	template := *h.intermediate.cert
	template.SerialNumber = big.NewInt(4711)
	der, err := x509.CreateCertificate(rand.Reader, &template, other.cert, h.intermediate.key.Public(), other.key)
	if err != nil {
		t.Fatal(err)
	}
	cross, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	chains := [][]*x509.Certificate{h.chain, {h.leaf.cert, cross, other.cert}}
	clean := crl(t, h.intermediate, nil)
	for _, c := range []struct {
		name  string
		lists [][]byte
		want  string
	}{
		{"the first is revoked above the leaf", [][]byte{clean, crl(t, h.root, nil, h.intermediate.cert), crl(t, other, nil)}, ""},
		{"the second is", [][]byte{clean, crl(t, h.root, nil), crl(t, other, nil, cross)}, ""},
		{"both are", [][]byte{clean, crl(t, h.root, nil, h.intermediate.cert), crl(t, other, nil, cross)}, "CN=intermediate"},
		{"the other root has no list", [][]byte{clean, crl(t, h.root, nil)}, ""},
		{"neither root has", [][]byte{clean}, "there is no revocation list of its issuer CN=root"},
		{"the leaf is revoked", [][]byte{crl(t, h.intermediate, nil, h.leaf.cert), crl(t, h.root, nil), crl(t, other, nil)}, "CN=alice"},
	} {
		r := load(t, certs.RevocationOptions{Lists: parseLists(t, c.lists...)})
		for _, order := range [][][]*x509.Certificate{chains, {chains[1], chains[0]}} {
			err := r.Check(order)
			if (err == nil) != (c.want == "") || err != nil && order[0][1] == h.intermediate.cert && !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v, want %q", c.name, err, c.want)
			}
		}
	}
	for _, none := range [][][]*x509.Certificate{nil, {{}}} {
		wantRefused(t, load(t, certs.RevocationOptions{}).Check(none), "no authority vouches")
	}
}

func TestRevokedCertificatesNeedNoList(t *testing.T) {
	h := newHierarchy(t)
	revoked := []certs.RevokedCertificate{{IssuerKeyID: h.intermediate.cert.SubjectKeyId, Serial: h.leaf.cert.SerialNumber, At: time.Now().Add(-48 * time.Hour), Reason: 4}}
	r := load(t, certs.RevocationOptions{Revoked: revoked})
	refusal := wantRefused(t, r.Check([][]*x509.Certificate{h.chain}), "CN=alice", "was revoked by CN=intermediate 2 days ago", "superseded")
	if refusal.Revoked.Reason != 4 {
		t.Errorf("reason %d", refusal.Revoked.Reason)
	}
	sibling := sign(t, h.intermediate.cert, h.intermediate.key, func(*x509.Certificate) {})
	if err := r.Check([][]*x509.Certificate{{sibling.cert, h.intermediate.cert, h.root.cert}}); err != nil {
		t.Error(err)
	}
	sameSerial := sign(t, h.root.cert, h.root.key, func(c *x509.Certificate) { c.SerialNumber = h.leaf.cert.SerialNumber })
	if err := r.Check([][]*x509.Certificate{{sameSerial.cert, h.root.cert}}); err != nil {
		t.Error(err)
	}
	// With lists, both count.
	r = load(t, certs.RevocationOptions{Revoked: revoked, Lists: parseLists(t, crl(t, h.intermediate, nil), crl(t, h.root, nil))})
	wantRefused(t, r.Check([][]*x509.Certificate{h.chain}), "superseded")
	_, err := certs.LoadRevocation(certs.RevocationOptions{Revoked: make([]certs.RevokedCertificate, 1)})
	wantError(t, err, "load revoked certificates")
}

func TestListFilesArePEMOrDER(t *testing.T) {
	h := newHierarchy(t)
	dir := t.TempDir()
	leaf, root := crl(t, h.intermediate, nil, h.leaf.cert), crl(t, h.root, nil)
	for name, files := range map[string][]string{
		"DER":            {write(t, dir, "leaf.der", leaf), write(t, dir, "root.der", root)},
		"PEM":            {write(t, dir, "leaf.pem", crlPEM(leaf)), write(t, dir, "root.pem", crlPEM(root))},
		"two in a file":  {write(t, dir, "both.pem", []byte("notes\n"), crlPEM(leaf, root))},
		"a CA with them": {write(t, dir, "ca.pem", h.root.certPEM, crlPEM(leaf, root))},
	} {
		r := load(t, certs.RevocationOptions{Files: files})
		wantRefused(t, r.Check([][]*x509.Certificate{h.chain}), "CN=alice", "was revoked")
		if err := r.Check([][]*x509.Certificate{h.chain[1:]}); err != nil {
			t.Errorf("%s: the intermediate: %v", name, err)
		}
	}
}

func TestListsThatCannotBeUsedAreNamed(t *testing.T) {
	h := newHierarchy(t)
	dir := t.TempDir()
	extension := func(critical bool, oid ...int) func(*x509.RevocationList) {
		return func(l *x509.RevocationList) {
			l.ExtraExtensions = append(l.ExtraExtensions, pkix.Extension{Id: oid, Critical: critical, Value: []byte{5, 0}})
		}
	}
	entry := func(e x509.RevocationListEntry) func(*x509.RevocationList) {
		e.SerialNumber, e.RevocationTime = big.NewInt(0xabc), time.Now()
		return func(l *x509.RevocationList) {
			l.RevokedCertificateEntries = append(l.RevokedCertificateEntries, e)
		}
	}
	entryExtension := func(critical bool, oid ...int) func(*x509.RevocationList) {
		return entry(x509.RevocationListEntry{ExtraExtensions: []pkix.Extension{{Id: oid, Critical: critical, Value: []byte{5, 0}}}})
	}
	good := crl(t, h.root, nil)
	for _, c := range []struct {
		name    string
		content []byte
		want    string
	}{
		{"delta", crl(t, h.root, extension(true, 2, 5, 29, 27)), "a delta list"},
		{"partitioned", crl(t, h.root, extension(true, 2, 5, 29, 28)), "a partitioned list"},
		{"partitioned, not critical", crl(t, h.root, extension(false, 2, 5, 29, 28)), "a partitioned list"},
		{"unknown and critical", crl(t, h.root, extension(true, 1, 2, 3, 4)), "critical extension 1.2.3.4, which we do not know"},
		{"indirect", crl(t, h.root, entryExtension(true, 2, 5, 29, 29)), "an indirect list"},
		{"an unknown entry", crl(t, h.root, entryExtension(true, 1, 2, 3, 4)), "the entry of serial abc has the critical extension 1.2.3.4"},
		{"removed", crl(t, h.root, entry(x509.RevocationListEntry{ReasonCode: 8})), "serial abc is to be removed from the list"},
		{"no nextUpdate", withoutNextUpdate(t, h.root), "no nextUpdate"},
		{"version 1", versionOne(t, h.root), "version 2"},
		{"a certificate", h.root.certPEM, `a PEM block "CERTIFICATE", not a revocation list`},
		{"a certificate in DER form", h.root.cert.Raw, "not a revocation list"},
		{"cut off", crlPEM(good)[:200], "1 of 1 PEM blocks are damaged or cut off"},
		{"damaged", pemBlock("X509 CRL", good[:100]), "PEM block 1: not a revocation list"},
		{"something behind", append(slices.Clone(good), "\n\n"...), "2 bytes follow the revocation list"},
		{"empty", []byte(" \n"), "empty"},
		{"text", []byte("no list\x1b[2J"), "not a revocation list"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := write(t, dir, "c.crl", c.content)
			_, err := certs.LoadRevocation(certs.RevocationOptions{Files: []string{path}})
			wantError(t, err, "load revocation list ", "c.crl", c.want)
		})
	}
	for name, content := range map[string][]byte{
		"an unknown extension that is not critical":       crl(t, h.root, extension(false, 1, 2, 3, 4)),
		"an unknown entry extension that is not critical": crl(t, h.root, entryExtension(false, 1, 2, 3, 4)),
		"an odd reason": crl(t, h.root, entry(x509.RevocationListEntry{ReasonCode: 77})),
	} {
		if _, err := certs.LoadRevocation(certs.RevocationOptions{Files: []string{write(t, dir, "c.crl", content)}}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := certs.LoadRevocation(certs.RevocationOptions{Files: []string{filepath.Join(dir, "none.crl")}})
	if wantError(t, err, "none.crl"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v is not ErrNotExist", err)
	}
	_, err = certs.LoadRevocation(certs.RevocationOptions{Files: []string{dir}})
	wantError(t, err, "folder")
}

// listASN1 is a list as no good issuer writes it: what Go does not make.
type listASN1 struct {
	TBS struct {
		Version    int `asn1:"optional"`
		Algorithm  pkix.AlgorithmIdentifier
		Issuer     asn1.RawValue
		ThisUpdate time.Time
		NextUpdate time.Time `asn1:"optional"`
	}
	Algorithm pkix.AlgorithmIdentifier
	Signature asn1.BitString
}

func oddList(t *testing.T, issuer made, change func(*listASN1)) []byte {
	t.Helper()
	var l listASN1
	l.TBS.Version = 1
	l.TBS.Algorithm.Algorithm = asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2} // ecdsa-with-SHA256
	l.Algorithm = l.TBS.Algorithm
	l.TBS.Issuer.FullBytes = issuer.cert.RawSubject
	l.TBS.ThisUpdate = time.Now().UTC()
	l.Signature = asn1.BitString{Bytes: []byte{0}, BitLength: 8}
	change(&l)
	der, err := asn1.Marshal(l)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func withoutNextUpdate(t *testing.T, issuer made) []byte {
	return oddList(t, issuer, func(*listASN1) {})
}

func versionOne(t *testing.T, issuer made) []byte {
	return oddList(t, issuer, func(l *listASN1) { l.TBS.Version, l.TBS.NextUpdate = 0, time.Now().UTC().Add(time.Hour) })
}

func TestReasonsAreSaidInWords(t *testing.T) {
	h := newHierarchy(t)
	var said []string
	for _, reason := range []int{0, 1, 2, 3, 4, 5, 6, 9, 10, 77} {
		r := load(t, certs.RevocationOptions{Revoked: []certs.RevokedCertificate{
			{IssuerKeyID: h.intermediate.cert.SubjectKeyId, Serial: h.leaf.cert.SerialNumber, At: time.Now(), Reason: reason},
		}})
		text := r.Check([][]*x509.Certificate{h.chain}).Error()
		said = append(said, text[strings.LastIndex(text, ": ")+2:])
	}
	want := []string{
		"no reason is given", "key compromise", "CA compromise", "affiliation changed", "superseded", "cessation of operation",
		"certificate hold", "privilege withdrawn", "AA compromise", "reason 77",
	}
	if diff := cmp.Diff(want, said); diff != "" {
		t.Error(diff)
	}
}
