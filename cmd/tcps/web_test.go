package main

import (
	"fmt"
	"net"
	"net/http"
	"sync"

	"github.com/rogpeppe/go-internal/testscript"
)

// webs are the HTTP servers of one script, by name.
type webs map[string]func()

type websKey struct{}

// cmdWeb serves the files of a folder over HTTP until the script is over, or
// says closeweb.
func cmdWeb(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, len(args) == 2, "web NAME FOLDER")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	server := &http.Server{Handler: http.FileServer(http.Dir(ts.MkAbs(args[1])))}
	served := make(chan struct{})
	go func() {
		defer close(served)
		server.Serve(l)
	}()
	stop := sync.OnceFunc(func() {
		server.Close()
		<-served
	})
	ts.Setenv(args[0], fmt.Sprint(l.Addr().(*net.TCPAddr).Port))
	ts.Value(websKey{}).(webs)[args[0]] = stop
	ts.Defer(stop)
}

func cmdCloseWeb(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, len(args) == 1, "closeweb NAME")
	stop := ts.Value(websKey{}).(webs)[args[0]]
	if stop == nil {
		ts.Fatalf("there is no web %q", args[0])
	}
	stop()
}
