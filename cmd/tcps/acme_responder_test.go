package main

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/crypto/ocsp"
)

//	responder PORT PEBBLE    answers on PORT, for what that authority issued: it is good (OCSP, RFC 6960)
//	renewnow PEBBLE FILE     makes the authority want the certificate in FILE renewed at once (ARI, RFC 9773)

func cmdResponder(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, len(args) == 2, "responder PORT PEBBLE")
	management := ts.Getenv(args[1] + "_MANAGEMENT")
	issuer, err := x509.ParseCertificate(pemBytes(ts, fetch(ts, management+"/intermediates/0")))
	ts.Check(err)
	key, err := x509.ParsePKCS1PrivateKey(pemBytes(ts, fetch(ts, management+"/intermediate-keys/0")))
	ts.Check(err)
	l, err := net.Listen("tcp", "127.0.0.1:"+args[0])
	ts.Check(err)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		request, err := ocsp.ParseRequest(body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		now := time.Now()
		answer, err := ocsp.CreateResponse(issuer, issuer, ocsp.Response{
			Status: ocsp.Good, SerialNumber: request.SerialNumber, ThisUpdate: now.Add(-time.Hour), NextUpdate: now.Add(24 * time.Hour),
		}, key)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/ocsp-response")
		w.Write(answer)
	})}
	ended := make(chan struct{})
	go func() {
		server.Serve(l)
		close(ended)
	}()
	ts.Defer(func() { server.Close(); <-ended })
}

func pemBytes(ts *testscript.TestScript, data []byte) []byte {
	block, _ := pem.Decode(data)
	if block == nil {
		ts.Fatalf("no PEM: %q", data)
	}
	return block.Bytes
}

func cmdRenewNow(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, len(args) == 2, "renewnow PEBBLE FILE")
	leaf, _ := pem.Decode([]byte(ts.ReadFile(args[1])))
	if leaf == nil {
		ts.Fatalf("%s holds no certificate", args[1])
	}
	start := time.Now().Add(-48 * time.Hour).UTC()
	window := map[string]any{"suggestedWindow": map[string]string{
		"start": start.Format(time.RFC3339), "end": start.Add(24 * time.Hour).Format(time.RFC3339),
	}}
	answer, err := json.Marshal(window)
	ts.Check(err)
	body, err := json.Marshal(map[string]string{"Certificate": string(pem.EncodeToMemory(leaf)), "ARIResponse": string(answer)})
	ts.Check(err)
	post(ts, ts.Getenv(args[0]+"_MANAGEMENT")+"/set-renewal-info/", body)
}

func post(ts *testscript.TestScript, url string, body []byte) {
	response, err := testClient().Post(url, "application/json", bytes.NewReader(body))
	ts.Check(err)
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(response.Body)
		ts.Fatalf("%s: %s: %s", url, response.Status, text)
	}
}
