package endpoint_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tcps/internal/endpoint"
)

func TestParseReadsEveryForm(t *testing.T) {
	for in, want := range map[string]endpoint.Endpoint{
		"tcps://127.0.0.1:8120":     {Scheme: "tcps", Host: "127.0.0.1", Port: "8120"},
		"127.0.0.1:0":               {Scheme: "tcps", Host: "127.0.0.1", Port: "0"},
		"localhost":                 {Scheme: "tcps", Host: "localhost", Port: "8120"},
		":8443":                     {Scheme: "tcps", Port: "8443"},
		"[::1]:8120":                {Scheme: "tcps", Host: "::1", Port: "8120"},
		"[::1]":                     {Scheme: "tcps", Host: "::1", Port: "8120"},
		"TCP://example.test:1":      {Scheme: "tcp", Host: "example.test", Port: "1"},
		"[fe80::1%eth0]:5":          {Scheme: "tcps", Host: "fe80::1%eth0", Port: "5"},
		"unix:///run/a b.sock":      {Scheme: "unix", Path: "/run/a b.sock"},
		"unix://./rel.sock":         {Scheme: "unix", Path: "./rel.sock"},
		"unixs:///s?mode=0660":      {Scheme: "unixs", Path: "/s", Mode: 0o660},
		"unix:///s?owner=www:staff": {Scheme: "unix", Path: "/s", Owner: "www:staff"},
	} {
		got, err := endpoint.Parse(in)
		if err != nil {
			t.Errorf("Parse(%q): %v", in, err)
			continue
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("Parse(%q) (-want +got):\n%s", in, diff)
		}
	}
}

func TestParseNamesTheMistake(t *testing.T) {
	for in, want := range map[string]string{
		"":                       "neither a host nor a port",
		"tcps://":                "neither a host nor a port",
		"host:":                  "the port is missing",
		"host:http":              `port "http" is not a number`,
		"host:-1":                `port "-1" is not a number`,
		"host:99999":             "port 99999 is not between 0 and 65535",
		"::1":                    `an IPv6 address needs brackets: "[::1]:port"`,
		"a:b:c":                  "too many colons",
		"tls://host:1":           "TLS is written tcps://",
		"https://host":           "TLS is written tcps://",
		"gopher://host:1":        "want tcps, tcp, unix or unixs",
		"tcps://host:1/path":     `"/path" does not belong after host:port`,
		"/run/x.sock":            `write "unix:///run/x.sock"`,
		"unix://":                "no path",
		"unix:///s?mode=0999":    "is not an octal number",
		"unix:///s?mod=1":        `unknown option "mod"`,
		"unix:///s?owner=":       "owner is empty",
		"unix:///" + longPath():  "a Unix socket's may have 103",
		"tcps://us er@host:8120": "does not belong after host:port",
	} {
		_, err := endpoint.Parse(in)
		if err == nil {
			t.Errorf("Parse(%q) found no mistake", in)
			continue
		}
		if !strings.Contains(err.Error(), want) {
			t.Errorf("Parse(%q) = %q, want it to say %q", in, err, want)
		}
	}
}

func longPath() string { return strings.Repeat("x", 104) }

func TestLocalIsOnlyWhatThisMachineReaches(t *testing.T) {
	for in, want := range map[string]bool{
		"tcp://127.0.0.1:1": true, "tcp://127.8.8.8:1": true, "tcp://[::1]:1": true,
		"tcp://LocalHost:1": true, "unix:///s": true, "tcp://[::ffff:127.0.0.1]:1": true,
		"tcp://:1": false, "tcp://0.0.0.0:1": false, "tcp://10.0.0.1:1": false, "tcp://localhost.example:1": false,
	} {
		e, err := endpoint.Parse(in)
		if err != nil {
			t.Fatal(err)
		}
		if e.Local() != want {
			t.Errorf("%s: Local() = %v, want %v", in, e.Local(), want)
		}
	}
}

// What Parse accepts, String writes so that Parse reads the same again.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"tcps://127.0.0.1:8120", "[::1]", ":0", "unix:///a%25b?mode=0600&owner=a:b", "unixs://@x", "unix://?", "a:b:c", "tcp://[fe80::1%25eth0]:1", "/\r", "fe80::1%\n",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		e, err := endpoint.Parse(s)
		if err != nil {
			if strings.ContainsAny(err.Error(), "\n\r") {
				t.Errorf("Parse(%q): the error has more than one line: %q", s, err)
			}
			return
		}
		again, err := endpoint.Parse(e.String())
		if err != nil {
			t.Fatalf("Parse(%q) = %#v, which prints as %q: %v", s, e, e, err)
		}
		if e != again {
			t.Fatalf("Parse(%q) = %#v, printed as %q and read again %#v", s, e, e, again)
		}
	})
}
