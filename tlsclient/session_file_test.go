package tlsclient_test

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"tcps/internal/pin"
	"tcps/tlsclient"
)

// A keeper is a session file with the warnings that it gave.
type keeper struct {
	*tlsclient.SessionFile
	mu       sync.Mutex
	warnings []string // guarded by mu
}

func newKeeper(t *testing.T, path string) *keeper {
	t.Helper()
	if path == "" {
		path = filepath.Join(t.TempDir(), "session")
	}
	k := &keeper{}
	k.SessionFile = &tlsclient.SessionFile{Path: path, Warn: func(text string) {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.warnings = append(k.warnings, text)
	}}
	return k
}

// wantWarnings compares what was warned of with parts of it, and forgets it.
func (k *keeper) wantWarnings(t *testing.T, want ...string) {
	t.Helper()
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.warnings) != len(want) {
		t.Errorf("warnings %q, want %q", k.warnings, want)
	}
	for i, w := range want {
		if i < len(k.warnings) && !strings.Contains(k.warnings[i], w) {
			t.Errorf("warning %q, want %q", k.warnings[i], w)
		}
	}
	k.warnings = nil
}

// visit dials, hears the greeting, with which the ticket comes, and says whether
// the session was resumed.
func visit(t *testing.T, d *tlsclient.Dialer, endpoint string) bool {
	t.Helper()
	conn, err := d.Dial(t.Context(), endpoint)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	wantGreeting(t, conn)
	return conn.TLS().DidResume
}

func wantResumed(t *testing.T, want bool, d *tlsclient.Dialer, endpoint string) {
	t.Helper()
	if got := visit(t, d, endpoint); got != want {
		t.Errorf("resumed: %v, want %v", got, want)
	}
}

func TestAFileKeepsASessionForTheNextRun(t *testing.T) {
	a := newAuthority(t)
	versions(t, func(t *testing.T, version uint16) {
		endpoint := "tcps://" + serveTLS(t, a.config(t), greet)
		k := newKeeper(t, "")
		for i := range 3 { // each with a dialer of its own, as each run has
			wantResumed(t, i > 0, &tlsclient.Dialer{RootCAs: a.pool(), MaxVersion: version, Sessions: k.SessionFile}, endpoint)
		}
		k.wantWarnings(t)
		info, err := os.Stat(k.Path)
		if err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
			t.Errorf("%v, %v: want mode 0600", info, err)
		}
		entries, err := os.ReadDir(filepath.Dir(k.Path))
		if err != nil || len(entries) != 1 {
			t.Errorf("%v, %v: something was left behind", entries, err)
		}
	})
}

// A session is for one server, and for one way of verifying it.
func TestASessionIsOfferedOnlyWhereItBelongs(t *testing.T) {
	a, foreign := newAuthority(t), newAuthority(t)
	config := a.config(t)
	config.Certificates = []tls.Certificate{a.issue(t, func(c *x509.Certificate) { c.DNSNames = []string{"localhost", "second.test"} })}
	config.ClientAuth = tls.RequestClientCert
	key := pin.Of(config.Certificates[0].Leaf)
	endpoint, again := "tcps://"+serveTLS(t, config, greet), "tcps://"+serveTLS(t, config, greet) // which have a ticket key in common
	base := func() *tlsclient.Dialer { return &tlsclient.Dialer{RootCAs: a.pool(), ServerName: "localhost"} }
	both := x509.NewCertPool()
	both.AddCert(a.cert)
	both.AddCert(foreign.cert)
	for _, c := range []struct {
		name     string
		endpoint string
		binding  string
		change   func(*tlsclient.Dialer)
		resumed  bool
	}{
		{"all the same", endpoint, "", func(*tlsclient.Dialer) {}, true},
		{"more roots", endpoint, "", func(d *tlsclient.Dialer) { d.RootCAs = both }, true},
		{"other endpoint", again, "", func(*tlsclient.Dialer) {}, false},
		{"other name", endpoint, "", func(d *tlsclient.Dialer) { d.ServerName = "second.test" }, false},
		{"other SNI", endpoint, "", func(d *tlsclient.Dialer) { d.SNI = "front.test" }, false},
		{"no SNI", endpoint, "", func(d *tlsclient.Dialer) { d.SNI = tlsclient.NoSNI }, false},
		{"insecure", endpoint, "", func(d *tlsclient.Dialer) { d.Insecure = true }, false},
		{"a pin", endpoint, "", func(d *tlsclient.Dialer) { d.Pins = []pin.Pin{key} }, false},
		{"a pin alone", endpoint, "", func(d *tlsclient.Dialer) { d.Pins, d.RootCAs = []pin.Pin{key}, nil }, false},
		{"other binding", endpoint, "another certificate of ours", func(*tlsclient.Dialer) {}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := newKeeper(t, "")
			first := base()
			first.Sessions = k.SessionFile
			wantResumed(t, false, first, endpoint)
			second, other := base(), *k.SessionFile
			c.change(second)
			other.Binding = []byte(c.binding)
			second.Sessions = &other
			wantResumed(t, c.resumed, second, c.endpoint)
			if c.resumed {
				k.wantWarnings(t)
			} else {
				k.wantWarnings(t, "another server, or one that was verified in another way: the handshake is a full one")
			}
			if !c.resumed { // it has taken the place of the first
				wantResumed(t, true, second, c.endpoint)
				k.wantWarnings(t)
				wantResumed(t, false, first, endpoint)
			}
		})
	}
}

// What was not verified must not become good by a detour through a file.
func TestASessionThatWasNotVerifiedIsNeverResumedAsVerified(t *testing.T) {
	foreign := newAuthority(t)
	versions(t, func(t *testing.T, version uint16) {
		endpoint := "tcps://" + serveTLS(t, foreign.config(t), greet)
		k := newKeeper(t, "")
		insecure := &tlsclient.Dialer{Insecure: true, MaxVersion: version, Sessions: k.SessionFile}
		wantResumed(t, false, insecure, endpoint)
		conn, err := insecure.Dial(t.Context(), endpoint)
		wantGreeting(t, closed(t, conn, err))
		if !conn.TLS().DidResume || conn.Untrusted() == nil {
			t.Errorf("resumed %v, untrusted %v; want it resumed, and what it would be refused for", conn.TLS().DidResume, conn.Untrusted())
		}
		verified := &tlsclient.Dialer{RootCAs: newAuthority(t).pool(), MaxVersion: version, Sessions: k.SessionFile}
		_, err = verified.Dial(t.Context(), endpoint)
		wantFailure(t, err, "untrusted", 6, "shake hands with "+endpoint)
	})
}

// Whoever writes the file says what they like in it, the binding too; the
// session's own certificates are verified all the same.
func TestAForgedFileMakesNoServerTrusted(t *testing.T) {
	a, foreign := newAuthority(t), newAuthority(t)
	versions(t, func(t *testing.T, version uint16) {
		endpoint := "tcps://" + serveTLS(t, foreign.config(t), greet)
		k := newKeeper(t, "")
		wantResumed(t, false, &tlsclient.Dialer{RootCAs: foreign.pool(), MaxVersion: version, Sessions: k.SessionFile}, endpoint)
		d := &tlsclient.Dialer{RootCAs: a.pool(), MaxVersion: version, Sessions: k.SessionFile}
		edit(t, k.Path, func(kept map[string]any) { kept["chain"] = [][]byte{a.issue(t, nil).Certificate[0]} })
		_, err := d.Dial(t.Context(), endpoint)
		wantFailure(t, err, "untrusted", 6, "shake hands with "+endpoint)

		// with roots that are another way to the same: crypto/tls does not look at chains then
		d.SNI = "front.test"
		k = newKeeper(t, "")
		wantResumed(t, false, &tlsclient.Dialer{RootCAs: foreign.pool(), SNI: "front.test", MaxVersion: version, Sessions: k.SessionFile}, endpoint)
		edit(t, k.Path, func(kept map[string]any) { kept["chain"] = [][]byte{a.issue(t, nil).Certificate[0]} })
		d.Sessions = k.SessionFile
		_, err = d.Dial(t.Context(), endpoint)
		wantFailure(t, err, "untrusted", 6, "shake hands with "+endpoint)
	})
}

// A chain in the session that leads to a root of ours, and was verified by
// nobody, satisfies crypto/tls.
func TestAForgedChainMakesNoServerTrusted(t *testing.T) {
	a, foreign := newAuthority(t), newAuthority(t)
	endpoint := "tcps://" + serveTLS(t, foreign.config(t), greet)
	k := newKeeper(t, "")
	wantResumed(t, false, &tlsclient.Dialer{RootCAs: foreign.pool(), Sessions: k.SessionFile}, endpoint)
	edit(t, k.Path, func(kept map[string]any) {
		kept["chain"] = [][]byte{a.issue(t, nil).Certificate[0]}
		state, err := base64.StdEncoding.DecodeString(kept["state"].(string))
		if err != nil {
			t.Fatal(err)
		}
		const after = 8 + 4 // the ticket's end and age_add
		root := foreign.cert.Raw
		before := len(state) - after - len(root) - 3*3
		forged := bytes.Clone(state[:before])
		for n := len(a.cert.Raw) + 6; n >= len(a.cert.Raw); n -= 3 { // all chains, this one, its root
			forged = append(forged, byte(n>>16), byte(n>>8), byte(n))
		}
		kept["state"] = append(append(forged, a.cert.Raw...), state[len(state)-after:]...)
	})
	conn, err := (&tlsclient.Dialer{RootCAs: a.pool(), Sessions: k.SessionFile}).Dial(t.Context(), endpoint)
	if err == nil {
		conn.Close()
	}
	wantFailure(t, err, "untrusted", 6, "shake hands with "+endpoint)
	k.wantWarnings(t)
	if _, err := os.Stat(k.Path); err == nil {
		t.Error("the session is kept")
	}
}

// edit changes the content of a session file, and its sum.
func edit(t *testing.T, path string, change func(map[string]any)) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	_, body, _ := bytes.Cut(data, []byte("\n"))
	kept := make(map[string]any)
	if err := json.Unmarshal(body, &kept); err != nil {
		t.Fatal(err)
	}
	change(kept)
	if body, err = json.Marshal(kept); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, fmt.Appendf(nil, "tcps session 1 %x\n%s", sha256.Sum256(body), body), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Whatever is in the file, it is never a reason not to connect, and what is
// ours is replaced by a session that can be used.
func TestAFileThatCannotBeUsedIsAWarning(t *testing.T) {
	a := newAuthority(t)
	endpoint := "tcps://" + serveTLS(t, a.config(t), greet)
	damage := func(at int) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if at < 0 {
				at += len(data)
			}
			data[at] ^= 1
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	write := func(text string) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	cut := func(t *testing.T, path string) {
		if err := os.Truncate(path, 300); err != nil {
			t.Fatal(err)
		}
	}
	field := func(name string, value any) func(*testing.T, string) {
		return func(t *testing.T, path string) { edit(t, path, func(kept map[string]any) { kept[name] = value }) }
	}
	for _, c := range []struct {
		name    string
		damage  func(*testing.T, string)
		warning string
	}{
		{"a bit of the sum", damage(20), "is damaged"},
		{"a bit in the middle", damage(400), "is damaged"},
		{"the last bit", damage(-1), "is damaged"},
		{"cut", cut, "is damaged"},
		{"no JSON", func(t *testing.T, path string) {
			write(fmt.Sprintf("tcps session 1 %x\nnone", sha256.Sum256([]byte("none"))))(t, path)
		}, "is damaged"},
		{"no state", field("state", []byte("none")), "is damaged"},
		{"no chain", field("chain", nil), "would be refused now"},
		{"a chain that is none", field("chain", [][]byte{{1}}), "is damaged"},
		{"another build", field("made_by", "go1.1"), "written by a build with \"go1.1\""},
		{"open to others", func(t *testing.T, path string) {
			if err := os.Chmod(path, 0o644); err != nil {
				t.Fatal(err)
			}
		}, "open to others (mode 0644)"},
		{"empty", write(""), ""},
		{"gone", func(t *testing.T, path string) { os.Remove(path) }, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := newKeeper(t, "")
			d := &tlsclient.Dialer{RootCAs: a.pool(), Sessions: k.SessionFile}
			wantResumed(t, false, d, endpoint)
			c.damage(t, k.Path)
			wantResumed(t, false, d, endpoint)
			if c.warning == "" {
				k.wantWarnings(t)
			} else {
				k.wantWarnings(t, c.warning)
			}
			wantResumed(t, true, d, endpoint)
			k.wantWarnings(t)
		})
	}
}

// --session server.key is a mistake that must not cost the key.
func TestAFileOfAnotherKindIsLeftAsItIs(t *testing.T) {
	a := newAuthority(t)
	endpoint := "tcps://" + serveTLS(t, a.config(t), greet)
	k := newKeeper(t, "")
	const key = "-----BEGIN PRIVATE KEY-----\n"
	if err := os.WriteFile(k.Path, []byte(key), 0o600); err != nil {
		t.Fatal(err)
	}
	wantResumed(t, false, &tlsclient.Dialer{RootCAs: a.pool(), Sessions: k.SessionFile}, endpoint)
	k.wantWarnings(t, "is no session file, and is left as it is: the handshake is a full one")
	if got, err := os.ReadFile(k.Path); err != nil || string(got) != key {
		t.Errorf("the file is %q, %v", got, err)
	}
	folder := newKeeper(t, t.TempDir())
	wantResumed(t, false, &tlsclient.Dialer{RootCAs: a.pool(), Sessions: folder.SessionFile}, endpoint)
	folder.wantWarnings(t, "is no session file")
	missing := newKeeper(t, filepath.Join(t.TempDir(), "no", "such"))
	wantResumed(t, false, &tlsclient.Dialer{RootCAs: a.pool(), Sessions: missing.SessionFile}, endpoint)
	missing.wantWarnings(t, "the session was not kept")
}

// A certificate that was good when the session was made is judged again: the
// handshake is a full one then, and says what is wrong with what is there now.
func TestASessionIsJudgedByWhatHoldsNow(t *testing.T) {
	a := newListingAuthority(t)
	config := a.config(t)
	for _, c := range []struct {
		name   string
		change func(*testing.T, *tlsclient.Dialer)
		reason tlsclient.Reason
		code   int
	}{
		{"other roots", func(t *testing.T, d *tlsclient.Dialer) { d.RootCAs = newAuthority(t).pool() }, "untrusted", 6},
		{"it was revoked", func(t *testing.T, d *tlsclient.Dialer) {
			d.Revocation = a.revocation(t, time.Hour, config.Certificates[0])
		}, "revoked", 9},
		{"a staple is wanted", func(_ *testing.T, d *tlsclient.Dialer) { d.RequireOCSPStaple = true }, "revoked", 9},
	} {
		t.Run(c.name, func(t *testing.T) {
			endpoint := "tcps://" + serveTLS(t, config, greet)
			k := newKeeper(t, "")
			d := &tlsclient.Dialer{RootCAs: a.pool(), Sessions: k.SessionFile}
			wantResumed(t, false, d, endpoint)
			c.change(t, d)
			_, err := d.Dial(t.Context(), endpoint)
			wantFailure(t, err, c.reason, c.code, "shake hands with "+endpoint)
			k.wantWarnings(t, "would be refused now")
		})
	}
}

// A server that is known by its key needs no authority; what is not known is
// not learned from a file.
func TestASessionWithAKnownServerIsKept(t *testing.T) {
	foreign := newAuthority(t)
	versions(t, func(t *testing.T, version uint16) {
		endpoint := "tcps://" + serveTLS(t, foreign.config(t), greet)
		k := newKeeper(t, "")
		d := &tlsclient.Dialer{KnownHosts: knownHosts(t), MaxVersion: version, Sessions: k.SessionFile}
		wantResumed(t, false, d, endpoint)
		wantResumed(t, true, d, endpoint)
		k.wantWarnings(t)
		d.KnownHosts = knownHosts(t) // another file, which is empty
		wantResumed(t, false, d, endpoint)
		k.wantWarnings(t, "would be refused now (its key is not known)")
		verified := &tlsclient.Dialer{RootCAs: newAuthority(t).pool(), MaxVersion: version, Sessions: k.SessionFile}
		_, err := verified.Dial(t.Context(), endpoint)
		wantFailure(t, err, "untrusted", 6, "shake hands with "+endpoint)
	})
}

// A session that ends at once still keeps what comes after the handshake.
func TestAShortTalkKeepsItsSession(t *testing.T) {
	a := newAuthority(t)
	versions(t, func(t *testing.T, version uint16) {
		endpoint := "tcps://" + serveTLS(t, a.config(t), greet)
		for _, talk := range []*tlsclient.Session{
			{In: strings.NewReader(""), OnEOF: tlsclient.EOFExit},
			{Expect: []byte("hello")},
		} {
			k := newKeeper(t, "")
			d := &tlsclient.Dialer{RootCAs: a.pool(), MaxVersion: version, Sessions: k.SessionFile}
			conn, err := d.Dial(t.Context(), endpoint)
			talk.Conn, talk.Out = closed(t, conn, err), io.Discard
			if err := talk.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			wantResumed(t, true, d, endpoint)
		}
	})
}
