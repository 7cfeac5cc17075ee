package main

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"

	"github.com/miekg/dns"
	"github.com/rogpeppe/go-internal/testscript"
)

// The commands of the pages are run by a shell as they stand there, but for
// what a test cannot have:
//
//	:8443             the port $P8443, which freeport or env has set before, since 8443 may be somebody's
//	:8443 alone       127.0.0.1 with that port: tests listen on nothing else
//	unix:///run/…     unix://$WORK/run/…
//	any other name    is asked of a name server of the test, for which all names are 127.0.0.1, but for .invalid, which has none
//	no --listen       $P8120, or any free port, by TCPS_LISTEN
//
// The rest of the script makes the files that they name, and looks at what they do.
//
//	docstart NAME [VARIABLE=VALUE…] 'COMMAND'   starts a page's command in the background
//	docrun CODE 'COMMAND'                       runs one to its end, checks its exit status
//	docfile PAGE FILE                           writes a file that stands on a page, with the same changes

var (
	docPorts = regexp.MustCompile(`(\w|\]|\*)?:([1-9]\d{1,4})\b`)
	docUnix  = regexp.MustCompile(`\b(unixs?):///`)
)

// docCommand is a page's command, ready for the shell.
func docCommand(ts *testscript.TestScript, command string) string {
	docNames(ts)
	command = docPorts.ReplaceAllStringFunc(command, func(s string) string {
		host, page, _ := strings.Cut(s, ":")
		port := ts.Getenv("P" + page)
		if port == "" {
			ts.Fatalf("the page says port %s, and P%s is not set", page, page)
		}
		if host == "" {
			host = "127.0.0.1"
		}
		return host + ":" + port
	})
	return docUnix.ReplaceAllString(command, "$1://"+ts.Getenv("WORK")+"/")
}

// docFile is a file on a page, whose name stands in a comment above it.
var docFile = regexp.MustCompile("(?s)<!-- file: (\\S+) -->\n```\\w+\n(.*?)```\n")

func cmdDocFile(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, len(args) == 2, "docfile PAGE FILE")
	text, err := os.ReadFile(filepath.Join("../../docs", args[0]+".md"))
	ts.Check(err)
	for _, m := range docFile.FindAllStringSubmatch(string(text), -1) {
		if m[1] == args[1] {
			ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(docCommand(ts, m[2])), 0o600))
			return
		}
	}
	ts.Fatalf("%s.md has no file %s", args[0], args[1])
}

func cmdDocStart(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, len(args) >= 2, "docstart NAME [VARIABLE=VALUE…] 'COMMAND'")
	last := len(args) - 1
	command := docCommand(ts, args[last])
	if strings.HasPrefix(command, "tcps ") {
		command = "exec " + command // signals are for it, not for the shell
	}
	cmd := exec.Command("/bin/sh", "-c", command)
	cmd.Env = append(environment(ts), nameServer+"="+ts.Getenv(nameServer))
	if strings.Contains(command, "tcps serve") && !strings.Contains(command, "--listen") {
		port := ts.Getenv("P8120")
		if port == "" {
			port = "0"
		}
		cmd.Env = append(cmd.Env, "TCPS_LISTEN=tcps://127.0.0.1:"+port)
	}
	for _, v := range args[1:last] {
		cmd.Env = append(cmd.Env, unescape(ts, v))
	}
	startJob(ts, args[0], cmd)
}

func cmdDocRun(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, len(args) == 2, "docrun CODE 'COMMAND'")
	execute(ts, args[0], []string{"/bin/sh", "-c", docCommand(ts, args[1])})
}

// nameServer is the variable with the address of the name server that a tcps of
// the tests asks instead of the system's.
const nameServer = "TEST_NAME_SERVER"

// tcpsMain is the command as the scripts run it.
func tcpsMain() {
	if address := os.Getenv(nameServer); address != "" {
		net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "udp", address)
		}}
	}
	main()
}

// docNames starts the name server, once a script.
func docNames(ts *testscript.TestScript) {
	if ts.Getenv(nameServer) != "" {
		return
	}
	packets, err := net.ListenPacket("udp", "127.0.0.1:0")
	ts.Check(err)
	started := make(chan struct{})
	server := &dns.Server{PacketConn: packets, Handler: dns.HandlerFunc(everybodyIsHere), NotifyStartedFunc: func() { close(started) }}
	var running sync.WaitGroup
	running.Go(func() { server.ActivateAndServe() })
	<-started
	ts.Defer(func() {
		server.Shutdown()
		running.Wait()
	})
	ts.Setenv(nameServer, packets.LocalAddr().String())
}

func everybodyIsHere(w dns.ResponseWriter, r *dns.Msg) {
	answer := new(dns.Msg).SetReply(r)
	for _, q := range r.Question {
		if strings.HasSuffix(q.Name, ".invalid.") {
			answer.Rcode = dns.RcodeNameError
		} else if q.Qtype == dns.TypeA {
			header := dns.RR_Header{Name: q.Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 1}
			answer.Answer = append(answer.Answer, &dns.A{Hdr: header, A: net.IPv4(127, 0, 0, 1)})
		}
	}
	w.WriteMsg(answer)
}
