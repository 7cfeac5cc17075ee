package probe

import (
	"crypto/tls"
	"strings"
	"testing"
)

// crypto/tls has some of the suites and groups: under the same names.
func TestNamesAreThoseOfCryptoTLS(t *testing.T) {
	for _, s := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		if got := suiteName(s.ID); got != s.Name {
			t.Errorf("suite %04x is %q, crypto/tls says %q", s.ID, got, s.Name)
		}
	}
	for id, want := range map[tls.CurveID]string{
		tls.CurveP256: "secp256r1", tls.CurveP384: "secp384r1", tls.CurveP521: "secp521r1", tls.X25519: "X25519",
		tls.X25519MLKEM768: "X25519MLKEM768", tls.SecP256r1MLKEM768: "SecP256r1MLKEM768", tls.SecP384r1MLKEM1024: "SecP384r1MLKEM1024",
	} {
		if got := groupName(uint16(id)); got != want {
			t.Errorf("group %d is %q, want %q", id, got, want)
		}
	}
	if got := groupName(9999) + suiteName(9999); got != "0x270F0x270F" {
		t.Errorf("unknown numbers are called %q", got)
	}
}

func TestNothingIsInATableTwice(t *testing.T) {
	seen := make(map[string]bool)
	once := func(kind string, id uint16, name string) {
		for _, key := range []string{kind + name, kind + string(rune(id))} {
			if seen[key] {
				t.Errorf("%s %s (%04x) is there twice", kind, name, id)
			}
			seen[key] = true
		}
	}
	for _, s := range append(SuitesOf(tls.VersionTLS12), SuitesOf(tls.VersionTLS13)...) {
		once("suite", s.ID, s.Name)
	}
	for _, g := range groups {
		once("group", g.ID, g.Name)
	}
}

func TestVerdicts(t *testing.T) {
	for name, want := range map[string]string{
		"TLS_AES_128_GCM_SHA256":                        "",
		"TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "",
		"TLS_DHE_RSA_WITH_AES_128_CCM_8":                "",
		"TLS_RSA_WITH_AES_128_GCM_SHA256":               "no forward secrecy",
		"TLS_ECDH_RSA_WITH_AES_128_GCM_SHA256":          "no forward secrecy",
		"TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA":            "CBC",
		"TLS_RSA_WITH_3DES_EDE_CBC_SHA":                 "64 bits",
		"TLS_ECDHE_RSA_WITH_RC4_128_SHA":                "RC4",
		"TLS_RSA_EXPORT_WITH_RC4_40_MD5":                "export",
		"TLS_ECDHE_RSA_WITH_NULL_SHA":                   "nothing is encrypted",
		"TLS_DH_anon_WITH_AES_128_GCM_SHA256":           "nobody is authenticated",
		"TLS_DHE_RSA_WITH_DES_CBC_SHA":                  "56 bits",
	} {
		verdict, why := Suite{Name: name}.Judge()
		if (want == "") != (verdict == Fine) || !strings.Contains(why, want) {
			t.Errorf("%s is %s: %q, want %q", name, verdict, why, want)
		}
	}
	for version, want := range map[uint16]Verdict{ssl30: Weak, tls.VersionTLS10: Weak, tls.VersionTLS11: Weak, tls.VersionTLS12: Fine, tls.VersionTLS13: Fine} {
		if verdict, why := JudgeVersion(version); verdict != want || (why == "") != (want == Fine) {
			t.Errorf("%s is %s: %q", VersionName(version), verdict, why)
		}
	}
	for _, g := range groups {
		if verdict, why := g.Judge(); (verdict == Fine) != (why == "") {
			t.Errorf("%s is %s: %q", g.Name, verdict, why)
		}
	}
}
