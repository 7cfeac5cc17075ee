package certs_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tcps/certs"
	"tcps/certs/storagetest"
)

// newManager makes a Manager of a local authority over a folder, not started.
func newManager(t *testing.T, a *certs.Authority, dir string, life time.Duration, names ...string) *certs.Manager {
	t.Helper()
	storage, err := certs.OpenFileStorage(dir)
	if err != nil {
		t.Fatal(err)
	}
	return &certs.Manager{Names: names, Storage: storage, Issuer: a.Issuer(life)}
}

func start(t *testing.T, m *certs.Manager) *certs.Manager {
	t.Helper()
	if err := m.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

// served is the certificate that a client gets who asks for a name (empty: for none), or why the server refuses.
func served(t *testing.T, source certs.Source, sni string) (*x509.Certificate, error) {
	t.Helper()
	near, far := net.Pipe()
	defer near.Close()
	ended := make(chan error, 1)
	go func() {
		ended <- tls.Server(far, &tls.Config{GetCertificate: source.Certificate}).Handshake()
		far.Close()
	}()
	client := tls.Client(near, &tls.Config{ServerName: sni, InsecureSkipVerify: true})
	if err := client.Handshake(); err != nil {
		return nil, <-ended
	}
	near.Close()
	<-ended
	return client.ConnectionState().PeerCertificates[0], nil
}

func TestAManagerOfTheAuthorityHasACertificateForEachName(t *testing.T) {
	a := newAuthority(t)
	m := start(t, newManager(t, a, t.TempDir(), 0, "localhost", "box", "127.0.0.1", "*.dev.test"))
	for sni, want := range map[string]string{
		"localhost": "localhost", "box": "box", "BOX.": "box", "a.dev.test": "a.dev.test", "": "localhost", "elsewhere.test": "localhost",
	} {
		leaf, err := served(t, m, sni)
		if err != nil {
			t.Errorf("%q: %v", sni, err)
			continue
		}
		if _, err := leaf.Verify(x509.VerifyOptions{Roots: a.Pool(), DNSName: want}); err != nil {
			t.Errorf("%q: %v", sni, err)
		}
		if life := time.Until(leaf.NotAfter); life > 7*24*time.Hour || life < 6*24*time.Hour {
			t.Errorf("%q: it lasts %v, want 7 days", sni, life)
		}
	}
}

// A name of more than 64 characters is no common name, and no other of the Manager's names may stand there.
func TestALongNameHasACertificateOfItsOwn(t *testing.T) {
	long := strings.Repeat("a", 60) + "." + strings.Repeat("b", 60) + ".test"
	m := start(t, newManager(t, newAuthority(t), t.TempDir(), 0, "localhost", long))
	leaf, err := served(t, m, long)
	if err != nil || leaf.Subject.CommonName != "" || leaf.DNSNames[0] != long || !leaf.Equal(m.Leaves()[long]) {
		t.Errorf("served %v, %v", leaf, err)
	}
}

// Every certificate of an authority has all names, so that for a wildcard too.
func TestAWildcardIsServedWithTheCertificateThatWasMadeForIt(t *testing.T) {
	m := start(t, newManager(t, newAuthority(t), t.TempDir(), 0, "localhost", "box", "*.dev.test"))
	leaf, err := served(t, m, "a.dev.test")
	if err != nil || !leaf.Equal(m.Leaves()["*.dev.test"]) {
		t.Errorf("served %v, %v", leaf.Subject, err)
	}
}

func TestAClientWithoutANameGetsTheCertificateOfTheAddressItCameTo(t *testing.T) {
	a := newAuthority(t)
	m := start(t, newManager(t, a, t.TempDir(), 0, "box", "127.0.0.1"))
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{GetCertificate: m.Certificate})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		if c, err := l.Accept(); err == nil {
			c.(*tls.Conn).Handshake()
			c.Close()
		}
	}()
	c, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{RootCAs: a.Pool()})
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}

func TestAClientWithoutANameMayVerifyByAnyOfThem(t *testing.T) {
	a := newAuthority(t)
	m := start(t, newManager(t, a, t.TempDir(), 0, "localhost", "127.0.0.1", "box"))
	leaf, err := served(t, m, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"localhost", "127.0.0.1", "box"} {
		if err := leaf.VerifyHostname(name); err != nil {
			t.Error(err)
		}
	}
}

func TestManagersOfOneStorageShareCertificates(t *testing.T) {
	a, dir := newAuthority(t), t.TempDir()
	serials := make(chan string, 8)
	for range cap(serials) {
		m := newManager(t, a, dir, 0, "localhost")
		go func() {
			if err := m.Start(context.Background()); err != nil {
				serials <- err.Error()
				return
			}
			defer m.Close()
			serials <- m.Leaves()["localhost"].SerialNumber.String()
		}()
	}
	first := <-serials
	for range cap(serials) - 1 {
		if other := <-serials; other != first {
			t.Errorf("two Managers of one storage have %s and %s", first, other)
		}
	}
	checkKeysArePrivate(t, dir)
}

func checkKeysArePrivate(t *testing.T, dir string) {
	t.Helper()
	keys := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if info.Mode().Perm()&0o077 != 0 && path != dir {
			t.Errorf("%s is open to others: %v", path, info.Mode())
		}
		if strings.HasSuffix(path, ".key") {
			keys++
		}
		return nil
	})
	if err != nil || keys == 0 {
		t.Errorf("%d keys under %s, %v", keys, dir, err)
	}
}

func TestAManagerRenewsInTheBackground(t *testing.T) {
	changed := make(chan *x509.Certificate, 10)
	m := newManager(t, newAuthority(t), t.TempDir(), 9*time.Second, "localhost")
	m.Changed = func(_ string, leaf *x509.Certificate) { changed <- leaf }
	start(t, m)
	first, second := <-changed, <-changed
	if first.Equal(second) {
		t.Fatal("Changed was called twice for one certificate")
	}
	if early := second.NotAfter.Sub(first.NotAfter); early < 4*time.Second {
		t.Errorf("a certificate for 9 seconds was renewed after %v, want two thirds of its life", early)
	}
	leaf, err := served(t, m, "localhost")
	if err != nil || leaf.Equal(first) {
		t.Fatalf("after the renewal the old certificate is presented (%v)", err)
	}
}

func TestARestartPresentsWhatIsStored(t *testing.T) {
	a, dir := newAuthority(t), t.TempDir()
	first := newManager(t, a, dir, 0, "localhost")
	if err := first.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := first.Leaves()["localhost"]
	first.Close()
	second := start(t, newManager(t, a, dir, 0, "localhost"))
	if !second.Leaves()["localhost"].Equal(before) {
		t.Error("the stored certificate was not used")
	}
	other := start(t, newManager(t, newAuthority(t), dir, 0, "localhost"))
	if other.Leaves()["localhost"].Equal(before) {
		t.Error("a certificate of another root was taken from the storage")
	}
}

// Each file of the storage is damaged or removed in turn: what is left is put aside, and there is a good certificate.
func TestADamagedStorageIsMendedAtTheStart(t *testing.T) {
	a := newAuthority(t)
	for _, ending := range []string{".crt", ".key", ".json"} {
		for name, damage := range map[string]func(string) error{
			"removed":   os.Remove,
			"emptied":   func(p string) error { return os.Truncate(p, 0) },
			"truncated": func(p string) error { return os.Truncate(p, 40) },
			"garbage":   func(p string) error { return os.WriteFile(p, []byte("\x00\x01garbage"), 0o600) },
		} {
			t.Run(name+" "+ending, func(t *testing.T) {
				dir := t.TempDir()
				m := newManager(t, a, dir, 0, "localhost")
				if err := m.Start(t.Context()); err != nil {
					t.Fatal(err)
				}
				before := m.Leaves()["localhost"]
				m.Close()
				file := filepath.Join(dir, "certificates", m.Issuer.(interface{ IssuerKey() string }).IssuerKey(), "localhost", "localhost"+ending)
				if err := damage(file); err != nil {
					t.Fatal(err)
				}
				var log strings.Builder
				again := newManager(t, a, dir, 0, "localhost")
				again.Logger = slog.New(slog.NewTextHandler(&log, nil))
				start(t, again)
				leaf, err := served(t, again, "localhost")
				if err != nil || leaf.Equal(before) {
					t.Fatalf("served %v, %v", leaf, err)
				}
				if !strings.Contains(log.String(), "moved aside") {
					t.Errorf("nothing was said:\n%s", log.String())
				}
				checkKeysArePrivate(t, dir)
			})
		}
	}
}

func TestWhatAManagerCannotDoIsSaidAtTheStart(t *testing.T) {
	a := newAuthority(t)
	storage, err := certs.OpenFileStorage(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for want, m := range map[string]*certs.Manager{
		"no issuer":   {Names: []string{"localhost"}, Storage: storage},
		"no storage":  {Names: []string{"localhost"}, Issuer: a.Issuer(0)},
		"no name":     {Storage: storage, Issuer: a.Issuer(0)},
		"outside":     {Names: []string{"example.com"}, Storage: storage, Issuer: a.Issuer(0)},
		"email":       {Names: []string{"email:me@box"}, Storage: storage, Issuer: a.Issuer(0)},
		"permits nam": {OnDemand: []string{"*"}, Storage: storage, Issuer: a.Issuer(0)},
	} {
		err := m.Start(t.Context())
		if err == nil || !strings.Contains(err.Error(), want) && want != "email" {
			t.Errorf("%s: Start answered %v", want, err)
		}
		if err == nil {
			m.Close()
		}
	}
	m := &certs.Manager{Names: []string{"localhost"}, Storage: storage, Issuer: &certs.ACME{}}
	if err := m.Start(t.Context()); !errors.Is(err, certs.ErrTermsNotAgreed) {
		t.Errorf("without agreeing to the terms Start answered %v", err)
	}
}

// A server has its source before that starts, since an ACME authority connects to it.
func TestAManagerIsAskedBeforeAndWhileItStarts(t *testing.T) {
	m := newManager(t, newAuthority(t), t.TempDir(), 0, "localhost")
	if _, err := served(t, m, "localhost"); err == nil || !strings.Contains(err.Error(), "has not started") {
		t.Errorf("before the start: %v", err)
	}
	if leaves := m.Leaves(); len(leaves) > 0 {
		t.Errorf("before the start there is %v", leaves)
	}
	asked := make(chan struct{})
	go func() {
		defer close(asked)
		for range 1000 {
			m.Certificate(&tls.ClientHelloInfo{ServerName: "localhost"})
			m.ChallengeConfig(&tls.ClientHelloInfo{})
			m.HTTPHandler(http.NotFoundHandler())
		}
	}()
	start(t, m)
	<-asked
}

func TestAManagerStartsOnce(t *testing.T) {
	m := newManager(t, newAuthority(t), t.TempDir(), 0, "example.com")
	if err := m.Start(t.Context()); err == nil {
		t.Fatal("a name that is not permitted was obtained")
	}
	m.Names = []string{"localhost"}
	if err := m.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "started before") {
		t.Errorf("after a start that failed: %v", err)
	}
	running := start(t, newManager(t, newAuthority(t), t.TempDir(), 0, "localhost"))
	if err := running.Start(t.Context()); err == nil {
		t.Error("it was started twice")
	}
	if _, err := served(t, running, "localhost"); err != nil {
		t.Errorf("after the second start: %v", err)
	}
}

// An ACME authority that cannot be reached: the Manager runs, refuses handshakes, and says why and when it goes on.
func TestWithoutTheAuthorityHandshakesAreRefusedWithTheReason(t *testing.T) {
	storage, err := certs.OpenFileStorage(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().(*net.TCPAddr).AddrPort()
	l.Close() // nobody listens there any more
	said := make(lines, 100)
	m := start(t, &certs.Manager{
		Names: []string{"a.test"}, OnDemand: []string{"*.b.test"}, Storage: storage,
		Issuer: &certs.ACME{Directory: "https://" + address.String() + "/dir", Agreed: true, Listener: address},
		Logger: slog.New(slog.NewTextHandler(said, nil)),
	})
	for line := range said {
		if strings.Contains(line, "no certificate was obtained") {
			break
		}
	}
	_, err = served(t, m, "a.test")
	refusal, ok := errors.AsType[*certs.NotObtainedError](err)
	if !ok || refusal.Err == nil || !refusal.Next.After(time.Now()) || !strings.Contains(err.Error(), "connection refused") {
		t.Fatalf("the handshake failed with %v", err)
	}
	if _, err = served(t, m, "x.b.test"); !errors.As(err, &refusal) || refusal.Name != "x.b.test" {
		t.Errorf("a name on demand: %v", err)
	}
	if _, err = served(t, m, "x.y.b.test"); errors.As(err, &refusal) && refusal.Name == "x.y.b.test" {
		t.Errorf("a name that the pattern does not match is being obtained: %v", err)
	}
}

// lines is a log's output, a line each.
type lines chan string

func (l lines) Write(b []byte) (int, error) {
	l <- string(b)
	return len(b), nil
}

func TestNamesOnDemandAreLimited(t *testing.T) {
	m := newManager(t, newAuthority(t), t.TempDir(), 0, "localhost")
	m.OnDemand = []string{"*.on.test"}
	obtained := make(chan string, 100)
	m.Changed = func(name string, _ *x509.Certificate) { obtained <- name }
	start(t, m)
	for i := range 15 {
		served(t, m, string(rune('a'+i))+".on.test") // refused: there is none yet
	}
	var names []string
	for len(names) < 11 {
		names = append(names, <-obtained)
	}
	slices.Sort(names)
	if want := "a.on.test b.on.test c.on.test d.on.test e.on.test f.on.test g.on.test h.on.test i.on.test j.on.test localhost"; strings.Join(names, " ") != want {
		t.Errorf("obtained %v, want %v", names, want)
	}
	if leaf, err := served(t, m, "a.on.test"); err != nil || !slices.Contains(leaf.DNSNames, "a.on.test") {
		t.Errorf("after it was obtained: %v, %v", leaf, err)
	}
	if leaf, err := served(t, m, "z.on.test"); err == nil {
		t.Errorf("the 16th name got the certificate of %v", leaf.DNSNames)
	}
}

// A name on demand whose attempt failed is tried again when a client asks, and not before it is time.
func TestANameOnDemandThatFailsIsForgotten(t *testing.T) {
	a := newAuthority(t)
	synctest.Test(t, func(t *testing.T) {
		said := make(lines, 10_000)
		failures := func() (n int) {
			synctest.Wait()
			for len(said) > 0 {
				if strings.Contains(<-said, "no certificate was obtained") {
					n++
				}
			}
			return n
		}
		m := &certs.Manager{
			OnDemand: []string{"*.example.com"}, Storage: new(storagetest.Memory), Issuer: a.Issuer(0), // who refuses them
			Logger: slog.New(slog.NewTextHandler(said, nil)),
		}
		if err := m.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		ask := func() { m.Certificate(&tls.ClientHelloInfo{ServerName: "x.example.com"}) }
		for range 20 {
			ask()
		}
		if n := failures(); n != 1 {
			t.Fatalf("%d attempts failed, want 1", n)
		}
		ask()
		if n := failures(); n != 0 {
			t.Errorf("%d attempts before the time", n)
		}
		time.Sleep(2 * time.Hour)
		if n := failures(); n != 0 {
			t.Errorf("%d attempts that nobody asked for", n)
		}
		ask()
		if n := failures(); n != 1 {
			t.Errorf("%d attempts when a client asked again", n)
		}
	})
}
