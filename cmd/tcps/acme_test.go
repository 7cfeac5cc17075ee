package main

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"tcps/certs"
)

// ACME is tried against Pebble, Let's Encrypt's test authority, which validates
// names for real; only the ports that it connects to are others than 80 and 443.
//
//	challdns NAME                a name server for which every name is 127.0.0.1; $NAME is its address
//	pebble NAME OPTION=VALUE…    an authority. $NAME_URL is its directory, $NAME_CA vouches for that,
//	                             $NAME_ROOT for what it issues, $NAME_MANAGEMENT changes it. It may be ended, and started again at the same place.
//
// Options of pebble: at=PORT, dns=ADDRESS, tls=PORT and http=PORT (that it validates
// at), nonces=PERCENT that it refuses, slow=SECONDS that it validates, seconds=N that
// certificates last, short=N for those of a profile of that name, blocked=NAME, eab=ID:KEY, ocsp=URL.

// acmeTools are the programs, built once.
var acmeTools = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "acme-tools")
	if err != nil {
		return "", err
	}
	const pebble = "github.com/letsencrypt/pebble/v2/cmd/pebble"
	build := exec.Command("go", "build", "-modfile=scripts/tools/go.mod", "-o", dir+string(filepath.Separator), pebble, pebble+"-challtestsrv")
	build.Dir = filepath.Join("..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		return dir, fmt.Errorf("build Pebble: %w\n%s", err, out)
	}
	return dir, nil
})

func acmeTool(ts *testscript.TestScript, name string) string {
	dir, err := acmeTools()
	ts.Check(err)
	acmeToolsUsed.Store(dir, true)
	return filepath.Join(dir, name)
}

// acmeToolsUsed has the folder to remove in the end.
var acmeToolsUsed sync.Map

func removeACMETools() {
	acmeToolsUsed.Range(func(dir, _ any) bool { return os.RemoveAll(dir.(string)) == nil })
}

func cmdChallDNS(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, len(args) == 1, "challdns NAME")
	address := fmt.Sprintf("127.0.0.1:%d", freePort(ts))
	management := fmt.Sprintf("127.0.0.1:%d", freePort(ts))
	startJob(ts, args[0], exec.Command(acmeTool(ts, "pebble-challtestsrv"),
		"-defaultIPv4", "127.0.0.1", "-defaultIPv6", "", "-dnsserver", address, "-management", management,
		"-http01", "", "-https01", "", "-tlsalpn01", "", "-doh", ""))
	waitForPort(ts, address)
	ts.Setenv(args[0], address)
}

// waitForPort tries until somebody listens.
func waitForPort(ts *testscript.TestScript, address string) {
	again, late := time.NewTicker(20*time.Millisecond), time.NewTimer(deadline)
	defer again.Stop()
	defer late.Stop()
	for {
		if conn, err := net.Dial("tcp", address); err == nil {
			conn.Close()
			return
		}
		select {
		case <-again.C:
		case <-late.C:
			ts.Fatalf("nobody listens on %s after %v", address, deadline)
		}
	}
}

func cmdPebble(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, len(args) >= 1, "pebble NAME OPTION=VALUE…")
	name, options := args[0], map[string]string{}
	for _, arg := range args[1:] {
		key, value, ok := strings.Cut(arg, "=")
		usage(ts, neg, ok, "pebble NAME OPTION=VALUE…")
		options[key] = value
	}
	port := options["at"]
	if port == "" {
		port = strconv.Itoa(freePort(ts))
	}
	address := net.JoinHostPort("127.0.0.1", port)
	management := fmt.Sprintf("127.0.0.1:%d", freePort(ts))
	config := writePebbleConfig(ts, name, address, management, options)
	cmd := exec.Command(acmeTool(ts, "pebble"), "-config", config, "-dnsserver", options["dns"])
	cmd.Env = append(environment(ts), "PEBBLE_AUTHZREUSE=0", "PEBBLE_WFE_NONCEREJECT="+or(options["nonces"], "0"))
	if slow := options["slow"]; slow != "" {
		cmd.Env = append(cmd.Env, "PEBBLE_VA_SLEEPTIME="+slow)
	} else {
		cmd.Env = append(cmd.Env, "PEBBLE_VA_NOSLEEP=1")
	}
	startJob(ts, name, cmd)
	waitForPort(ts, address)
	waitForPort(ts, management)
	ts.Setenv(name+"_URL", "https://"+address+"/dir")
	ts.Setenv(name+"_MANAGEMENT", "https://"+management)
	ts.Setenv(name+"_CA", ts.MkAbs("acme-directory.pem"))
	ts.Setenv(name+"_ROOT", ts.MkAbs(name+"-root.pem"))
	ts.Check(os.WriteFile(ts.MkAbs(name+"-root.pem"), fetch(ts, "https://"+management+"/roots/0"), 0o600))
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// writePebbleConfig writes what Pebble reads, and the certificate of its
// directory; that one is made once for a script.
func writePebbleConfig(ts *testscript.TestScript, name, address, management string, options map[string]string) string {
	cert, key := ts.MkAbs("acme-directory.crt"), ts.MkAbs("acme-directory.key")
	if _, err := os.Stat(cert); errors.Is(err, os.ErrNotExist) {
		authority, err := certs.NewAuthority(certs.AuthorityOptions{})
		ts.Check(err)
		issued, err := authority.Issue(certs.Request{Names: []string{"127.0.0.1"}})
		ts.Check(err)
		ts.Check(os.WriteFile(cert, issued.CertPEM, 0o600))
		ts.Check(os.WriteFile(key, issued.KeyPEM, 0o600))
		ts.Check(os.WriteFile(ts.MkAbs("acme-directory.pem"), authority.RootPEM(), 0o600))
	}
	number := func(option string, otherwise int) int {
		if options[option] == "" {
			return otherwise
		}
		n, err := strconv.Atoi(options[option])
		ts.Check(err)
		return n
	}
	profiles := map[string]any{"default": map[string]any{"description": "for tests", "validityPeriod": number("seconds", 7_776_000)}}
	if options["short"] != "" { // of two, Pebble takes any for who asks for none
		profiles["short"] = map[string]any{"description": "for tests", "validityPeriod": number("short", 0)}
	}
	settings := map[string]any{
		"listenAddress": address, "managementListenAddress": management,
		"certificate": cert, "privateKey": key,
		"tlsPort": number("tls", 1), "httpPort": number("http", 1),
		"ocspResponderURL": options["ocsp"],
		"keyAlgorithm":     "rsa", // the only kind of key that its management gives out, for the responder
		"retryAfter":       map[string]int{"authz": 1, "order": 1},
		"profiles":         profiles,
	}
	if options["blocked"] != "" {
		settings["domainBlocklist"] = []string{options["blocked"]}
	}
	if id, mac, ok := strings.Cut(options["eab"], ":"); ok {
		settings["externalAccountBindingRequired"] = true
		settings["externalAccountMACKeys"] = map[string]string{id: mac}
	}
	data, err := json.Marshal(map[string]any{"pebble": settings})
	ts.Check(err)
	file := ts.MkAbs(name + "-pebble.json")
	ts.Check(os.WriteFile(file, data, 0o600))
	return file
}

func testClient() *http.Client {
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
}

// fetch gets a page of Pebble's management, whose certificate is for the test
// alone.
func fetch(ts *testscript.TestScript, url string) []byte {
	response, err := testClient().Get(url)
	ts.Check(err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	ts.Check(err)
	return body
}
