package certs

import (
	"bytes"
	"crypto/x509"
	"fmt"

	"tcps/internal/terminal"
)

// This file turns the usual mistakes with certificate and key files into a sentence and, where there is one, the
// command that mends them. Text that comes out of a file is made safe for a terminal here.

// notPEM says what data, in which there is no PEM block, looks like.
func notPEM(path string, data []byte) string {
	in := terminal.ShellWord(path)
	convert := func(what, command string) string {
		return "not a PEM file but " + what + "; convert it: " + fmt.Sprintf(command, in, terminal.ShellWord(path+".pem"))
	}
	switch {
	case len(data) == 0:
		return "it is empty"
	case bytes.HasPrefix(data, []byte{0xFF, 0xFE}), bytes.HasPrefix(data, []byte{0xFE, 0xFF}):
		return convert("UTF-16 text", "iconv -f UTF-16 -t UTF-8 %s > %s")
	case bytes.HasPrefix(data, []byte{0xFE, 0xED, 0xFE, 0xED}):
		return convert("a Java key store", "keytool -importkeystore -srckeystore %[1]s -destkeystore store.p12 -deststoretype PKCS12, then openssl pkcs12 -in store.p12 -noenc -out %[2]s")
	case data[0] != 0x30: // every DER form begins with a SEQUENCE
		return "not a PEM file: no line begins with -----BEGIN"
	}
	if _, err := x509.ParseCertificate(data); err == nil {
		return convert("a DER certificate", "openssl x509 -inform DER -in %s -out %s")
	}
	if _, err := parseKey(data); err == nil {
		return convert("a DER private key", "openssl pkey -inform DER -in %s -out %s")
	}
	if _, err := x509.ParseCertificateRequest(data); err == nil {
		return "not a certificate but a signing request (CSR), in DER form; an authority makes a certificate of it"
	}
	if isPKCS12(data) {
		return convert("PKCS#12 (.p12, .pfx)", "openssl pkcs12 -in %s -noenc -out %s")
	} else if bytes.HasPrefix(derContent(data), []byte{0x06, 0x09, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x07, 0x02}) {
		return convert("PKCS#7 (.p7b)", "openssl pkcs7 -inform DER -in %s -print_certs -out %s")
	}
	return "not a PEM file but binary data, DER of an unknown kind"
}

// derContent returns what is inside the outermost DER or BER element of data, or nil.
func derContent(data []byte) []byte {
	if len(data) < 2 {
		return nil
	}
	header := 2
	if data[1] > 0x80 {
		header += int(data[1] & 0x7F)
	}
	if header > len(data) || header > 6 {
		return nil
	}
	return data[header:]
}

// holdsInstead says what a file without a certificate holds, given the types of its other PEM blocks.
func holdsInstead(path string, c *contents) string {
	if len(c.keys)+len(c.sealed) > 0 {
		return "a private key, not a certificate"
	}
	if len(c.others) == 0 {
		return "no certificate"
	}
	in, out := terminal.ShellWord(path), terminal.ShellWord(path+".pem")
	switch kind := c.others[0]; kind {
	case "CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST":
		return "a signing request (CSR), not a certificate; an authority makes a certificate of it"
	case "PUBLIC KEY", "RSA PUBLIC KEY":
		return "a public key, not a certificate"
	case "TRUSTED CERTIFICATE":
		return fmt.Sprintf("a certificate in OpenSSL's own form; convert it: openssl x509 -in %s -out %s", in, out)
	case "PKCS7":
		return fmt.Sprintf("PKCS#7, not a certificate; convert it: openssl pkcs7 -in %s -print_certs -out %s", in, out)
	case "X509 CRL":
		return "a revocation list (CRL), not a certificate"
	default:
		return fmt.Sprintf("a PEM block %q, not a certificate", kind)
	}
}

// holdsNoKey says what a key file without a private key holds.
func holdsNoKey(path string, c *contents) string {
	if len(c.others) > 0 {
		switch kind := c.others[0]; kind {
		case "PUBLIC KEY", "RSA PUBLIC KEY":
			return "a public key, not a private key"
		case "CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST":
			return "a signing request (CSR), not a private key"
		case "OPENSSH PRIVATE KEY":
			return fmt.Sprintf("a key in OpenSSH's own form; convert it (this rewrites the file): ssh-keygen -p -m PKCS8 -f %s", terminal.ShellWord(path))
		case "ANY PRIVATE KEY", "DSA PRIVATE KEY":
			return fmt.Sprintf("a %s, which TLS does not use; RSA, ECDSA and Ed25519 keys will do", kind)
		default:
			return fmt.Sprintf("a PEM block %q, not a private key", kind)
		}
	}
	if len(c.certificates) > 0 {
		return "a certificate, not a private key"
	}
	return "no private key"
}
