package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tcps/certs"
)

// A list that expires is told of within a minute, and again every hour.
func TestAStaleListIsWarnedOfEveryHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		issuer := &x509.Certificate{Subject: pkix.Name{CommonName: "clients"}, KeyUsage: x509.KeyUsageCRLSign, SubjectKeyId: []byte{1}}
		der, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{
			Number: big.NewInt(1), ThisUpdate: begin, NextUpdate: begin.Add(90*time.Minute - time.Second),
		}, issuer, key)
		if err != nil {
			t.Fatal(err)
		}
		lists, err := certs.ParseRevocationLists("clients.crl", der)
		if err != nil {
			t.Fatal(err)
		}
		revocation, err := certs.LoadRevocation(certs.RevocationOptions{Lists: lists, AcceptStale: true})
		if err != nil {
			t.Fatal(err)
		}
		var at []string
		ctx, cancel := context.WithTimeout(t.Context(), 4*time.Hour)
		defer cancel()
		warnHourly(ctx, revocation.Warnings, func(warnings []string) {
			for _, w := range warnings {
				if !strings.Contains(w, `revocation list "clients.crl" of CN=clients expired `) {
					t.Errorf("warned %q", w)
				}
				at = append(at, time.Since(begin).String())
			}
		})
		if got := strings.Join(at, " "); got != "1h30m0s 2h30m0s 3h30m0s" {
			t.Errorf("warned after %s", got)
		}
	})
}
