package tlsclient_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tcps/certs"
	"tcps/internal/pin"
	"tcps/tlsclient"
	"tcps/tlsserver/service"
	"tcps/tlsserver/tlstest"
)

// selfSigned is a server that nobody vouches for, with a certificate that has
// expired and is for another name.
func selfSigned(t *testing.T, version uint16) (config *tls.Config, key pin.Pin) {
	t.Helper()
	cert := newAuthority(t).issue(t, expired)
	return &tls.Config{Certificates: []tls.Certificate{cert}, MaxVersion: version}, pin.Of(cert.Leaf)
}

// knownHosts is a file that is not there yet, nor its folder.
func knownHosts(t *testing.T) *tlsclient.KnownHosts {
	t.Helper()
	return tlsclient.NewKnownHosts(filepath.Join(t.TempDir(), "state", "known_hosts"))
}

func contentOf(t *testing.T, k *tlsclient.KnownHosts) string {
	t.Helper()
	b, err := os.ReadFile(k.Path())
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestTheFirstKeyIsTheOneThatCounts(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		config, key := selfSigned(t, version)
		other, otherKey := selfSigned(t, version)
		address := serveTLS(t, &tls.Config{MaxVersion: version, GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			if strings.EqualFold(hello.ServerName, "other.test") || len(hello.SupportedProtos) > 0 {
				return other, nil
			}
			return config, nil
		}}, greet)
		k := knownHosts(t)
		d := &tlsclient.Dialer{KnownHosts: k}
		for i := range 2 {
			c, err := d.Dial(t.Context(), "tcps://"+address)
			c = closed(t, c, err)
			wantGreeting(t, c)
			h, learned := c.KnownHost()
			if learned != (i == 0) || h.Pin != key || h.Line != 2 || h.Endpoint != address || h.Name != "127.0.0.1" {
				t.Errorf("dial %d: %+v, learned %v", i, h, learned)
			}
		}
		h, err := k.Find(address, "127.0.0.1")
		if err != nil || len(h) != 1 || time.Since(h[0].FirstSeen) > time.Minute {
			t.Fatalf("found %v, %v", h, err)
		}
		want := "# Keys of servers, by tcps connect --tofu: ENDPOINT NAME sha256:PIN TIME\n" +
			address + " 127.0.0.1 sha256:" + pin.String(key) + " " + h[0].FirstSeen.Format(time.RFC3339) + "\n"
		if got := contentOf(t, k); got != want {
			t.Errorf("the file is %q, want %q", got, want)
		}

		d.NextProtos = []string{"changed"}
		_, err = d.Dial(t.Context(), "tcps://"+address)
		wantFailure(t, err, "pin", 7, "shake hands with tcps://"+address)
		changed, ok := errors.AsType[*tlsclient.KeyChangedError](err)
		if !ok || changed.Got != otherKey || len(changed.Known) != 1 || changed.Known[0] != h[0] {
			t.Errorf("%#v: want both keys", changed)
		}
		for _, part := range []string{pin.String(key), pin.String(otherKey), k.Path() + ":2", h[0].FirstSeen.Format("2006-01-02 15:04")} {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%v: does not say %q", err, part)
			}
		}
		if got := contentOf(t, k); got != want {
			t.Errorf("a refusal leaves %q", got)
		}

		d.NextProtos, d.ServerName = nil, "Other.Test" // another name is another server
		c, err := d.Dial(t.Context(), "tcps://"+address)
		if h, learned := closed(t, c, err).KnownHost(); !learned || h.Line != 3 || h.Name != "other.test" || h.Pin != otherKey {
			t.Errorf("of another name: %+v, learned %v", h, learned)
		}
	})
}

func TestKnownHostsIsPrivate(t *testing.T) {
	k := knownHosts(t)
	if _, err := k.Add(t.Context(), "a:1", "a", pin.Pin{1}); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]os.FileMode{k.Path(): 0o600, filepath.Dir(k.Path()): 0o700} {
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v; want mode %04o", path, info.Mode(), err, want)
		}
	}
	os.Chmod(k.Path(), 0o620)
	if _, err := k.Find("a:1", "a"); err == nil || !strings.Contains(err.Error(), "others can write to it (mode 0620)") {
		t.Errorf("with mode 0620: %v", err)
	}
}

// Who made it read-only did not mean it to be replaced by one that is not.
func TestKnownHostsThatAreReadOnlyStayAsTheyAre(t *testing.T) {
	k := knownHosts(t)
	if _, err := k.Add(t.Context(), "a:1", "a", pin.Pin{1}); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(k.Path(), 0o400); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Add(t.Context(), "b:1", "b", pin.Pin{2}); err == nil || !strings.Contains(err.Error(), "read-only (mode 0400)") {
		t.Errorf("a line is added: %v", err)
	}
	if found, err := k.Find("b:1", "b"); err != nil || len(found) > 0 {
		t.Errorf("found %v, %v", found, err)
	}
	if info, err := os.Stat(k.Path()); err != nil || info.Mode().Perm() != 0o400 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if _, err := k.Add(t.Context(), "a:1", "a", pin.Pin{1}); err != nil {
		t.Errorf("a key that is there: %v", err)
	}
}

// The mode of a file is its owner's to choose.
func TestKnownHostsOfOthersAreRefused(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	k := knownHosts(t)
	if _, err := k.Add(t.Context(), "a:1", "a", pin.Pin{1}); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(k.Path(), 12345, -1); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Find("a:1", "a"); err == nil || !strings.Contains(err.Error(), "it belongs to another user (12345)") {
		t.Errorf("of another user: %v", err)
	}
}

// What a human has written stays: comments, more keys of a server, a last line
// without an end, a link to where the file is kept.
func TestKnownHostsOfHumans(t *testing.T) {
	dir := t.TempDir()
	text := "# mine\n\na:1 a sha256:" + pin.String(pin.Pin{1}) + " 2026-01-31T12:00:00Z\n" +
		"  a:1   a " + pin.String(pin.Pin{2}) + " 2026-02-28T12:00:00+01:00\nunixs:///x%20y - sha256:" + pin.String(pin.Pin{3}) + " 2026-01-31T12:00:00Z"
	if err := os.WriteFile(filepath.Join(dir, "real"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink("real", link); err != nil {
		t.Fatal(err)
	}
	k := tlsclient.NewKnownHosts(link)
	for _, key := range []pin.Pin{{1}, {2}} {
		if h, err := k.Add(t.Context(), "a:1", "a", key); err != nil || h.Pin != key || h.Line != 2+int(key[0]) {
			t.Errorf("key %d: %+v, %v", key[0], h, err)
		}
	}
	if h, err := k.Find("unixs:///x%20y", ""); err != nil || len(h) != 1 || h[0].Line != 5 {
		t.Errorf("of the Unix socket: %v, %v", h, err)
	}
	_, err := k.Add(t.Context(), "a:1", "a", pin.Pin{4})
	if changed, ok := errors.AsType[*tlsclient.KeyChangedError](err); !ok || len(changed.Known) != 2 {
		t.Errorf("another key: %v", err)
	}
	h, err := k.Add(t.Context(), "a:2", "a", pin.Pin{4})
	if err != nil || h.Line != 6 {
		t.Fatalf("%+v, %v", h, err)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "real")); err != nil || string(got) != text+"\n"+h.String()+"\n" {
		t.Errorf("the file is %q, %v", got, err)
	}
	for _, bad := range [][2]string{{"a:1", "a b"}, {"a:1\n", "a"}, {"", "a"}, {"a:1", "-"}} {
		if _, err := k.Add(t.Context(), bad[0], bad[1], pin.Pin{1}); err == nil || !strings.Contains(err.Error(), "do not fit") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// What cannot be read is found before anybody is dialled.
func TestDamagedKnownHosts(t *testing.T) {
	good := "a:1 a sha256:" + pin.String(pin.Pin{1}) + " 2026-01-31T12:00:00Z\n"
	for name, c := range map[string]struct{ text, says string }{
		"a word too few": {good + "a:1 a 2026-01-31T12:00:00Z\n", "line 2: want ENDPOINT NAME sha256:PIN TIME, and there are 3 words"},
		"no pin":         {good + "\n# x\na:1 a sha256:abc 2026-01-31T12:00:00Z\n", `line 4: "sha256:abc" is not the base64 or hex`},
		"no time":        {strings.Replace(good, "T12", " 12", 1), "line 1: "},
		"a strange time": {strings.Replace(good, "2026", "yesterday", 1), "line 1: "},
		"cut":            {good + good[:len(good)-12], "line 2: "},
		"zeros":          {good + strings.Repeat("\x00", 100), "line 2: "},
	} {
		t.Run(name, func(t *testing.T) {
			k := tlsclient.NewKnownHosts(filepath.Join(t.TempDir(), "known_hosts"))
			if err := os.WriteFile(k.Path(), []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := (&tlsclient.Dialer{KnownHosts: k}).Dial(t.Context(), "nobody.invalid:1")
			wantFailure(t, err, "failed", 1, "dial tcps://nobody.invalid:1")
			if !strings.Contains(err.Error(), k.Path()) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v: want it to name the file and say %q", err, c.says)
			}
			if _, err := k.Add(t.Context(), "b:1", "b", pin.Pin{1}); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("Add: %v", err)
			}
			if got := contentOf(t, k); got != c.text {
				t.Errorf("the file was changed to %q", got)
			}
		})
	}
}

// Where a key cannot be kept the server gets not one byte.
func TestAKeyThatCannotBeKept(t *testing.T) {
	config, _ := selfSigned(t, 0)
	heard := make(chan string, 1)
	address := serveTLS(t, config, func(c *tls.Conn) {
		b, _ := io.ReadAll(c)
		heard <- string(b)
	})
	k := tlsclient.NewKnownHosts(filepath.Join(t.TempDir(), "known_hosts"))
	if err := os.Mkdir(filepath.Join(filepath.Dir(k.Path()), ".known_hosts.lock"), 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := (&tlsclient.Dialer{KnownHosts: k}).Dial(t.Context(), address)
	wantFailure(t, err, "failed", 1, "remember the key of tcps://"+address)
	if got := <-heard; got != "" {
		t.Errorf("the server heard %q", got)
	}
	k = tlsclient.NewKnownHosts(filepath.Join(t.TempDir(), "known_hosts"))
	unlock, err := certs.LockFile(t.Context(), k.Path())
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	_, err = (&tlsclient.Dialer{KnownHosts: k, Timeout: 200 * time.Millisecond}).Dial(t.Context(), address)
	wantFailure(t, err, "timeout:known-hosts", 4, "remember the key of tcps://"+address)
	if got := <-heard; got != "" {
		t.Errorf("the server heard %q", got)
	}
}

func TestAKeyOfAFailedHandshakeIsNotKept(t *testing.T) {
	config, _ := selfSigned(t, tls.VersionTLS12)
	config.ClientAuth = tls.RequireAnyClientCert
	k := knownHosts(t)
	address := serveTLS(t, config, greet)
	_, err := (&tlsclient.Dialer{KnownHosts: k}).Dial(t.Context(), address)
	wantFailure(t, err, "peer-refused-us:handshake_failure", 10, "shake hands with tcps://"+address)
	if _, err := os.Stat(k.Path()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file is there: %v", err)
	}
}

func TestKnownKeysHoldOnResumedSessions(t *testing.T) {
	s := tlstest.NewServer(t, service.Greet("hello\r\n", service.Discard()))
	versions(t, func(t *testing.T, version uint16) {
		d := &tlsclient.Dialer{KnownHosts: knownHosts(t), MaxVersion: version, Sessions: tls.NewLRUClientSessionCache(0)}
		for i := range 2 {
			c, err := d.Dial(t.Context(), s.Endpoint)
			c = closed(t, c, err)
			wantGreeting(t, c) // the ticket comes with it
			if _, learned := c.KnownHost(); c.TLS().DidResume != (i == 1) || learned != (i == 0) {
				t.Errorf("connection %d is resumed: %v, learned: %v", i+1, c.TLS().DidResume, learned)
			}
			c.Close()
		}
		other := knownHosts(t)
		h, _ := d.KnownHosts.Find(s.Addr, "127.0.0.1")
		if len(h) != 1 {
			t.Fatalf("known: %v", h)
		}
		if _, err := other.Add(t.Context(), h[0].Endpoint, h[0].Name, pin.Pin{1}); err != nil {
			t.Fatal(err)
		}
		d.KnownHosts = other
		_, err := d.Dial(t.Context(), s.Endpoint)
		wantFailure(t, err, "pin", 7, "shake hands with "+s.Endpoint)
	})
}

// However many write at once, all lines are there, and of two first keys of one
// server only one counts.
func TestNoLineIsLost(t *testing.T) {
	path := filepath.Join(t.TempDir(), "known_hosts")
	var writing sync.WaitGroup
	changed := make(chan error, 20)
	for i := range 20 {
		writing.Go(func() {
			k := tlsclient.NewKnownHosts(path)
			if _, err := k.Add(t.Context(), fmt.Sprintf("host%d:1", i), "a", pin.Pin{byte(i)}); err != nil {
				t.Error(err)
			}
			_, err := k.Add(t.Context(), "same:1", "a", pin.Pin{byte(i)})
			changed <- err
		})
	}
	writing.Wait()
	refused := 0
	for range 20 {
		if _, ok := errors.AsType[*tlsclient.KeyChangedError](<-changed); ok {
			refused++
		}
	}
	b, err := os.ReadFile(path)
	if err != nil || strings.Count(string(b), "\n") != 22 || refused != 19 {
		t.Errorf("%d refused, and the file is %q, %v", refused, b, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := tlsclient.NewKnownHosts(path).Add(ctx, "late:1", "a", pin.Pin{1}); !errors.Is(err, context.Canceled) {
		t.Errorf("with a ctx that has ended: %v", err)
	}
}

func TestAnAddressIsKnownHoweverItIsWritten(t *testing.T) {
	config, key := selfSigned(t, 0)
	address := serveTLS(t, config, greet)
	_, port, _ := net.SplitHostPort(address)
	sock := filepath.Join(t.TempDir(), "s")
	l := listen(t, "unix", sock)
	serveOn(t, l, func(c net.Conn) { serveGreeting(c, config) })
	d := &tlsclient.Dialer{KnownHosts: knownHosts(t)}
	for _, at := range []struct{ endpoint, known, name string }{
		{"tcps://LocalHost:" + port, "localhost:" + port, "localhost"},
		{"[::ffff:127.0.0.1]:" + port, "127.0.0.1:" + port, "::ffff:127.0.0.1"},
		{"unixs://" + sock, "unixs://" + sock, ""},
	} {
		c, err := d.Dial(t.Context(), at.endpoint)
		wantGreeting(t, closed(t, c, err))
		if h, err := d.KnownHosts.Find(at.known, at.name); err != nil || len(h) != 1 || h[0].Pin != key {
			t.Errorf("%s: %v, %v", at.endpoint, h, err)
		}
	}
}

func TestKnownHostsDecidesAlone(t *testing.T) {
	s := tlstest.NewServer(t, service.Echo())
	for name, d := range map[string]*tlsclient.Dialer{
		"Insecure": {Insecure: true}, "Pins": {Pins: []pin.Pin{{1}}}, "RootCAs": s.Dialer(),
		"Revocation": {Revocation: new(certs.Revocation)}, "RequireOCSPStaple": {RequireOCSPStaple: true},
	} {
		d.KnownHosts = knownHosts(t)
		if _, err := d.Dial(t.Context(), s.Endpoint); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("beside %s: %v", name, err)
		}
	}
}

func FuzzKnownHosts(f *testing.F) {
	f.Add("a:1 a sha256:" + pin.String(pin.Pin{1}) + " 2026-01-31T12:00:00Z\n# x\n\n")
	f.Add("unixs:///x - " + strings.Repeat("0", 64) + " 2026-01-31T12:00:00+01:00")
	path := filepath.Join(f.TempDir(), "known_hosts")
	f.Fuzz(func(t *testing.T, text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		k := tlsclient.NewKnownHosts(path)
		if _, err := k.Find("a:1", "a"); err != nil {
			return
		}
		// what can be read goes on being read when a line is added
		h, err := k.Add(t.Context(), "new:1", "b", pin.Pin{9})
		if _, changed := errors.AsType[*tlsclient.KeyChangedError](err); changed {
			return
		}
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		found, err := k.Find("new:1", "b")
		isIt := func(f tlsclient.KnownHost) bool { return f.Line == h.Line && f.Pin == h.Pin }
		if err != nil || !slices.ContainsFunc(found, isIt) {
			t.Fatalf("%q: added %v, found %v, %v", text, h, found, err)
		}
	})
}

// expired makes a certificate that is for another name, too.
func expired(c *x509.Certificate) {
	c.DNSNames, c.IPAddresses, c.NotAfter = []string{"another.test"}, nil, time.Now().Add(-time.Minute)
}

func TestTheKeyBehindSTARTTLSCountsAsOne(t *testing.T) {
	config, key := selfSigned(t, 0)
	other, _ := selfSigned(t, 0)
	endpoint := smtpServer(t, "220 hi\r\n", offer, func(c net.Conn) {
		io.WriteString(c, "220 go\r\n")
		serveGreeting(c, config)
	})
	d := &tlsclient.Dialer{KnownHosts: knownHosts(t), StartTLS: "smtp", Network: "tcp4"}
	for i := range 2 {
		c, err := d.Dial(t.Context(), endpoint)
		c = closed(t, c, err)
		wantGreeting(t, c)
		if h, learned := c.KnownHost(); h.Pin != key || learned != (i == 0) {
			t.Errorf("dial %d: %+v, learned %v", i, h, learned)
		}
		c.Close()
	}
	config.Certificates = other.Certificates
	_, err := d.Dial(t.Context(), endpoint)
	wantFailure(t, err, "pin", 7, "shake hands with "+endpoint)
}
