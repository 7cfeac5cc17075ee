package reason

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
)

// ofTLSText looks at what crypto/tls does not export. A test makes each of
// these errors with the real library, so that a new Go version that says them
// otherwise is noticed.
func ofTLSText(err error) Reason {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		switch op.Op {
		case "remote error":
			return ofAlert(op.Err)
		case "local error":
			return Malformed
		}
	}
	text := err.Error()
	for _, t := range tlsTexts {
		if strings.Contains(text, t.text) {
			return t.reason
		}
	}
	if strings.Contains(text, "tls: ") {
		return Malformed
	}
	return Failed
}

// tlsTexts are parts of crypto/tls' error texts, first match first.
var tlsTexts = []struct {
	text   string
	reason Reason
}{
	{"tls: client didn't provide a certificate", NoCertificate},
	{"tls: no certificates configured", SNI}, // GetCertificate returned nil, nil
	{"tls: client offered only unsupported versions", Version},
	{"tls: server selected unsupported protocol version", Version},
	{"tls: client using inappropriate protocol fallback", Version},
	{"tls: no cipher suite supported by both client and server", NoSharedCipher},
	{"tls: no key exchanges supported by both client and server", NoSharedGroup},
	{"tls: no supported elliptic curves offered", NoSharedGroup},
	{"tls: peer doesn't support any of the certificate's signature algorithms", NoSharedCipher},
	{"tls: client requested unsupported application protocols", ALPN},
	{"tls: server selected unadvertised ALPN protocol", ALPN},
	{"tls: invalid signature by the client certificate", Untrusted},
	{"tls: invalid signature by the server certificate", Untrusted},
	{"tls: failed to parse certificate from server", Untrusted},
	{"tls: failed to parse client certificate", Untrusted},
}

// ofAlert names what the peer's alert says. Where the alert is about what was
// negotiated, the word is the one that the peer's own log has.
func ofAlert(alert error) Reason {
	number, ok := alertNumber(alert)
	if !ok {
		return PeerRefusedUs("unknown")
	}
	switch number {
	case 70:
		return Version
	case 112:
		return SNI
	case 120:
		return ALPN
	}
	name := alertNames[number]
	if name == "" {
		name = "unknown"
	}
	return PeerRefusedUs(name)
}

// Alert is the name of the alert by which the peer ended a handshake or a
// connection (RFC 8446, 6), as bad_certificate; empty if it did not.
func Alert(err error) string {
	op, ok := errors.AsType[*net.OpError](err)
	if !ok || op.Op != "remote error" {
		return ""
	}
	number, ok := alertNumber(op.Err)
	if !ok {
		return "unknown"
	}
	return alertNames[number]
}

// alertNumber finds the number of an alert that came from the peer: the type
// that crypto/tls returns is unexported, but its text is that of AlertError.
func alertNumber(alert error) (uint8, bool) {
	text := alert.Error()
	for n := range alertNames {
		if tls.AlertError(n).Error() == text {
			return n, true
		}
	}
	return 0, false
}

// alertNames is the IANA registry of TLS alerts (RFC 8446, 6; RFC 5246, 7.2).
var alertNames = map[uint8]string{
	0: "close_notify", 10: "unexpected_message", 20: "bad_record_mac", 21: "decryption_failed", 22: "record_overflow",
	30: "decompression_failure", 40: "handshake_failure", 42: "bad_certificate", 43: "unsupported_certificate",
	44: "certificate_revoked", 45: "certificate_expired", 46: "certificate_unknown", 47: "illegal_parameter",
	48: "unknown_ca", 49: "access_denied", 50: "decode_error", 51: "decrypt_error", 60: "export_restriction",
	70: "protocol_version", 71: "insufficient_security", 80: "internal_error", 86: "inappropriate_fallback",
	90: "user_canceled", 100: "no_renegotiation", 109: "missing_extension", 110: "unsupported_extension",
	111: "certificate_unobtainable", 112: "unrecognized_name", 113: "bad_certificate_status_response",
	114: "bad_certificate_hash_value", 115: "unknown_psk_identity", 116: "certificate_required",
	120: "no_application_protocol", 121: "ech_required",
}

// AlertName is the name of a TLS alert in IANA's registry; "alert 7" where there
// is none.
func AlertName(number uint8) string {
	if name := alertNames[number]; name != "" {
		return name
	}
	return fmt.Sprintf("alert %d", number)
}
