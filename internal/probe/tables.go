package probe

import (
	"crypto/tls"
	"fmt"
	"strings"
)

// The numbers and names are those of IANA's registry of TLS parameters
// (https://www.iana.org/assignments/tls-parameters). The suites are all of it
// that need no more than a certificate or nothing: those of RFC 2246, 4346,
// 5246 and 8446, and of 4162 (SEED), 5288, 5289 (GCM), 5932, 6367 (Camellia),
// 6209 (ARIA), 6655, 7251 (CCM), 7905 (ChaCha20) and 8422 (elliptic curves).
// Without: PSK, SRP, Kerberos, GOST, SM4.

// A Verdict says what is to be thought of something that a server accepts.
type Verdict string

// The verdicts.
const (
	Fine Verdict = "fine"
	Weak Verdict = "weak"
)

// Versions are all versions of TLS that are asked for, the oldest first. SSL 2.0
// has another hello, and is not among them.
var Versions = []uint16{ssl30, tls.VersionTLS10, tls.VersionTLS11, tls.VersionTLS12, tls.VersionTLS13}

const ssl30 = 0x0300 // crypto/tls has it as deprecated

// VersionName is the name of a version.
func VersionName(version uint16) string {
	if version == ssl30 {
		return "SSL 3.0"
	}
	return tls.VersionName(version)
}

// JudgeVersion says whether a version should be spoken, and why not.
func JudgeVersion(version uint16) (Verdict, string) {
	switch version {
	case ssl30:
		return Weak, "broken (POODLE), prohibited by RFC 7568"
	case tls.VersionTLS10, tls.VersionTLS11:
		return Weak, "deprecated by RFC 8996"
	}
	return Fine, ""
}

// A Suite is a cipher suite.
type Suite struct {
	ID   uint16
	Name string
}

// SuitesOf are the suites that can be asked for in a version.
func SuitesOf(version uint16) []Suite {
	if version == tls.VersionTLS13 {
		return suites13
	}
	return suites
}

func suiteName(id uint16) string {
	for _, list := range [][]Suite{suites13, suites} {
		for _, s := range list {
			if s.ID == id {
				return s.Name
			}
		}
	}
	return fmt.Sprintf("0x%04X", id)
}

// weaknesses are the parts of a suite's name that tell what is wrong with it.
// The first of a kind counts: EXPORT's ciphers are broken as such.
var weaknesses = []struct{ part, why string }{
	{"_anon_", "nobody is authenticated"},
	{"_NULL_", "nothing is encrypted"},
	{"_EXPORT_", "keys of 40 bits (export)"},
	{"_RC4_", "RC4 is prohibited by RFC 7465"},
	{"_3DES_", "3DES has blocks of 64 bits (Sweet32)"},
	{"_DES_", "DES has keys of 56 bits"},
	{"_IDEA_", "IDEA has blocks of 64 bits (Sweet32)"},
	{"_CBC_", "CBC (Lucky Thirteen)"},
}

// Judge says whether a suite should be accepted, and why not.
func (s Suite) Judge() (Verdict, string) {
	var why []string
	for _, w := range weaknesses {
		if strings.Contains(s.Name, w.part) {
			why = append(why, w.why)
		}
	}
	for _, static := range []string{"TLS_RSA_", "TLS_DH_DSS_", "TLS_DH_RSA_", "TLS_ECDH_ECDSA_", "TLS_ECDH_RSA_"} {
		if strings.HasPrefix(s.Name, static) {
			why = append(why, "no forward secrecy")
		}
	}
	if len(why) == 0 {
		return Fine, ""
	}
	return Weak, strings.Join(why, ", ")
}

// ephemeralCurves reports whether a suite agrees on keys over a group of
// supported_groups in TLS 1.2: elliptic curves only, since few servers heed
// RFC 7919.
func (s Suite) ephemeralCurves() bool { return strings.HasPrefix(s.Name, "TLS_ECDHE_") }

// A Group is a way to agree on keys.
type Group struct {
	ID          uint16
	Name        string
	PostQuantum bool
	why         string // it is weak; empty: it is fine
}

// Judge says whether a group should be accepted, and why not.
func (g Group) Judge() (Verdict, string) {
	if g.why == "" {
		return Fine, ""
	}
	return Weak, g.why
}

// isCurve reports whether a group can be asked for in TLS 1.2.
func (g Group) isCurve() bool { return g.ID < 256 && !strings.HasSuffix(g.Name, "tls13") }

const (
	tooSmall = "less than 112 bits of strength"
	retired  = "deprecated by RFC 8422"
	noHybrid = "post-quantum without a classical half, which nobody has analysed for long"
	draft    = "a draft that the final hybrids have replaced"
)

// groups are those of RFC 8422, 7027, 8734 (Brainpool), 7919 (finite fields),
// 8998 (SM2), and the drafts of ML-KEM (FIPS 203) that are registered.
var groups = []Group{
	{4588, "X25519MLKEM768", true, ""},
	{4587, "SecP256r1MLKEM768", true, ""},
	{4589, "SecP384r1MLKEM1024", true, ""},
	{4590, "curveSM2MLKEM768", true, ""},
	{25497, "X25519Kyber768Draft00", true, draft},
	{512, "MLKEM512", true, noHybrid},
	{513, "MLKEM768", true, noHybrid},
	{514, "MLKEM1024", true, noHybrid},
	{29, "X25519", false, ""},
	{23, "secp256r1", false, ""},
	{24, "secp384r1", false, ""},
	{25, "secp521r1", false, ""},
	{30, "X448", false, ""},
	{41, "curveSM2", false, ""},
	{31, "brainpoolP256r1tls13", false, ""},
	{32, "brainpoolP384r1tls13", false, ""},
	{33, "brainpoolP512r1tls13", false, ""},
	{256, "ffdhe2048", false, ""},
	{257, "ffdhe3072", false, ""},
	{258, "ffdhe4096", false, ""},
	{259, "ffdhe6144", false, ""},
	{260, "ffdhe8192", false, ""},
	{26, "brainpoolP256r1", false, ""},
	{27, "brainpoolP384r1", false, ""},
	{28, "brainpoolP512r1", false, ""},
	{22, "secp256k1", false, retired},
	{21, "secp224r1", false, retired},
	{20, "secp224k1", false, retired},
	{19, "secp192r1", false, tooSmall},
	{18, "secp192k1", false, tooSmall},
	{17, "secp160r2", false, tooSmall},
	{16, "secp160r1", false, tooSmall},
	{15, "secp160k1", false, tooSmall},
	{14, "sect571r1", false, retired},
	{13, "sect571k1", false, retired},
	{12, "sect409r1", false, retired},
	{11, "sect409k1", false, retired},
	{10, "sect283r1", false, retired},
	{9, "sect283k1", false, retired},
	{8, "sect239k1", false, retired},
	{7, "sect233r1", false, retired},
	{6, "sect233k1", false, retired},
	{5, "sect193r2", false, tooSmall},
	{4, "sect193r1", false, tooSmall},
	{3, "sect163r2", false, tooSmall},
	{2, "sect163r1", false, tooSmall},
	{1, "sect163k1", false, tooSmall},
}

func groupName(id uint16) string {
	for _, g := range groups {
		if g.ID == id {
			return g.Name
		}
	}
	return fmt.Sprintf("0x%04X", id)
}

// signatures are those that a server may sign with, old ones too (RFC 8446,
// 4.2.3; RFC 5246, 7.4.1.4.1): what it signs is not looked at.
var signatures = []uint16{
	0x0403, 0x0503, 0x0603, 0x0807, 0x0808, 0x0804, 0x0805, 0x0806, 0x0809, 0x080a, 0x080b,
	0x0401, 0x0501, 0x0601, 0x0303, 0x0301, 0x0203, 0x0201, 0x0402, 0x0502, 0x0602, 0x0202,
}

var suites13 = []Suite{
	{0x1301, "TLS_AES_128_GCM_SHA256"},
	{0x1302, "TLS_AES_256_GCM_SHA384"},
	{0x1303, "TLS_CHACHA20_POLY1305_SHA256"},
	{0x1304, "TLS_AES_128_CCM_SHA256"},
	{0x1305, "TLS_AES_128_CCM_8_SHA256"},
}

var suites = []Suite{
	{0x0001, "TLS_RSA_WITH_NULL_MD5"},
	{0x0002, "TLS_RSA_WITH_NULL_SHA"},
	{0x0003, "TLS_RSA_EXPORT_WITH_RC4_40_MD5"},
	{0x0004, "TLS_RSA_WITH_RC4_128_MD5"},
	{0x0005, "TLS_RSA_WITH_RC4_128_SHA"},
	{0x0006, "TLS_RSA_EXPORT_WITH_RC2_CBC_40_MD5"},
	{0x0007, "TLS_RSA_WITH_IDEA_CBC_SHA"},
	{0x0008, "TLS_RSA_EXPORT_WITH_DES40_CBC_SHA"},
	{0x0009, "TLS_RSA_WITH_DES_CBC_SHA"},
	{0x000a, "TLS_RSA_WITH_3DES_EDE_CBC_SHA"},
	{0x000b, "TLS_DH_DSS_EXPORT_WITH_DES40_CBC_SHA"},
	{0x000c, "TLS_DH_DSS_WITH_DES_CBC_SHA"},
	{0x000d, "TLS_DH_DSS_WITH_3DES_EDE_CBC_SHA"},
	{0x000e, "TLS_DH_RSA_EXPORT_WITH_DES40_CBC_SHA"},
	{0x000f, "TLS_DH_RSA_WITH_DES_CBC_SHA"},
	{0x0010, "TLS_DH_RSA_WITH_3DES_EDE_CBC_SHA"},
	{0x0011, "TLS_DHE_DSS_EXPORT_WITH_DES40_CBC_SHA"},
	{0x0012, "TLS_DHE_DSS_WITH_DES_CBC_SHA"},
	{0x0013, "TLS_DHE_DSS_WITH_3DES_EDE_CBC_SHA"},
	{0x0014, "TLS_DHE_RSA_EXPORT_WITH_DES40_CBC_SHA"},
	{0x0015, "TLS_DHE_RSA_WITH_DES_CBC_SHA"},
	{0x0016, "TLS_DHE_RSA_WITH_3DES_EDE_CBC_SHA"},
	{0x0017, "TLS_DH_anon_EXPORT_WITH_RC4_40_MD5"},
	{0x0018, "TLS_DH_anon_WITH_RC4_128_MD5"},
	{0x0019, "TLS_DH_anon_EXPORT_WITH_DES40_CBC_SHA"},
	{0x001a, "TLS_DH_anon_WITH_DES_CBC_SHA"},
	{0x001b, "TLS_DH_anon_WITH_3DES_EDE_CBC_SHA"},
	{0x002f, "TLS_RSA_WITH_AES_128_CBC_SHA"},
	{0x0032, "TLS_DHE_DSS_WITH_AES_128_CBC_SHA"},
	{0x0033, "TLS_DHE_RSA_WITH_AES_128_CBC_SHA"},
	{0x0034, "TLS_DH_anon_WITH_AES_128_CBC_SHA"},
	{0x0035, "TLS_RSA_WITH_AES_256_CBC_SHA"},
	{0x0038, "TLS_DHE_DSS_WITH_AES_256_CBC_SHA"},
	{0x0039, "TLS_DHE_RSA_WITH_AES_256_CBC_SHA"},
	{0x003a, "TLS_DH_anon_WITH_AES_256_CBC_SHA"},
	{0x003b, "TLS_RSA_WITH_NULL_SHA256"},
	{0x003c, "TLS_RSA_WITH_AES_128_CBC_SHA256"},
	{0x003d, "TLS_RSA_WITH_AES_256_CBC_SHA256"},
	{0x0040, "TLS_DHE_DSS_WITH_AES_128_CBC_SHA256"},
	{0x0041, "TLS_RSA_WITH_CAMELLIA_128_CBC_SHA"},
	{0x0044, "TLS_DHE_DSS_WITH_CAMELLIA_128_CBC_SHA"},
	{0x0045, "TLS_DHE_RSA_WITH_CAMELLIA_128_CBC_SHA"},
	{0x0046, "TLS_DH_anon_WITH_CAMELLIA_128_CBC_SHA"},
	{0x0066, "TLS_DHE_DSS_WITH_RC4_128_SHA"},
	{0x0067, "TLS_DHE_RSA_WITH_AES_128_CBC_SHA256"},
	{0x006a, "TLS_DHE_DSS_WITH_AES_256_CBC_SHA256"},
	{0x006b, "TLS_DHE_RSA_WITH_AES_256_CBC_SHA256"},
	{0x006c, "TLS_DH_anon_WITH_AES_128_CBC_SHA256"},
	{0x006d, "TLS_DH_anon_WITH_AES_256_CBC_SHA256"},
	{0x0084, "TLS_RSA_WITH_CAMELLIA_256_CBC_SHA"},
	{0x0087, "TLS_DHE_DSS_WITH_CAMELLIA_256_CBC_SHA"},
	{0x0088, "TLS_DHE_RSA_WITH_CAMELLIA_256_CBC_SHA"},
	{0x0089, "TLS_DH_anon_WITH_CAMELLIA_256_CBC_SHA"},
	{0x0096, "TLS_RSA_WITH_SEED_CBC_SHA"},
	{0x0099, "TLS_DHE_DSS_WITH_SEED_CBC_SHA"},
	{0x009a, "TLS_DHE_RSA_WITH_SEED_CBC_SHA"},
	{0x009b, "TLS_DH_anon_WITH_SEED_CBC_SHA"},
	{0x009c, "TLS_RSA_WITH_AES_128_GCM_SHA256"},
	{0x009d, "TLS_RSA_WITH_AES_256_GCM_SHA384"},
	{0x009e, "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256"},
	{0x009f, "TLS_DHE_RSA_WITH_AES_256_GCM_SHA384"},
	{0x00a2, "TLS_DHE_DSS_WITH_AES_128_GCM_SHA256"},
	{0x00a3, "TLS_DHE_DSS_WITH_AES_256_GCM_SHA384"},
	{0x00a6, "TLS_DH_anon_WITH_AES_128_GCM_SHA256"},
	{0x00a7, "TLS_DH_anon_WITH_AES_256_GCM_SHA384"},
	{0x00ba, "TLS_RSA_WITH_CAMELLIA_128_CBC_SHA256"},
	{0x00bd, "TLS_DHE_DSS_WITH_CAMELLIA_128_CBC_SHA256"},
	{0x00be, "TLS_DHE_RSA_WITH_CAMELLIA_128_CBC_SHA256"},
	{0x00bf, "TLS_DH_anon_WITH_CAMELLIA_128_CBC_SHA256"},
	{0x00c0, "TLS_RSA_WITH_CAMELLIA_256_CBC_SHA256"},
	{0x00c3, "TLS_DHE_DSS_WITH_CAMELLIA_256_CBC_SHA256"},
	{0x00c4, "TLS_DHE_RSA_WITH_CAMELLIA_256_CBC_SHA256"},
	{0x00c5, "TLS_DH_anon_WITH_CAMELLIA_256_CBC_SHA256"},
	{0xc001, "TLS_ECDH_ECDSA_WITH_NULL_SHA"},
	{0xc002, "TLS_ECDH_ECDSA_WITH_RC4_128_SHA"},
	{0xc003, "TLS_ECDH_ECDSA_WITH_3DES_EDE_CBC_SHA"},
	{0xc004, "TLS_ECDH_ECDSA_WITH_AES_128_CBC_SHA"},
	{0xc005, "TLS_ECDH_ECDSA_WITH_AES_256_CBC_SHA"},
	{0xc006, "TLS_ECDHE_ECDSA_WITH_NULL_SHA"},
	{0xc007, "TLS_ECDHE_ECDSA_WITH_RC4_128_SHA"},
	{0xc008, "TLS_ECDHE_ECDSA_WITH_3DES_EDE_CBC_SHA"},
	{0xc009, "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA"},
	{0xc00a, "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA"},
	{0xc00b, "TLS_ECDH_RSA_WITH_NULL_SHA"},
	{0xc00c, "TLS_ECDH_RSA_WITH_RC4_128_SHA"},
	{0xc00d, "TLS_ECDH_RSA_WITH_3DES_EDE_CBC_SHA"},
	{0xc00e, "TLS_ECDH_RSA_WITH_AES_128_CBC_SHA"},
	{0xc00f, "TLS_ECDH_RSA_WITH_AES_256_CBC_SHA"},
	{0xc010, "TLS_ECDHE_RSA_WITH_NULL_SHA"},
	{0xc011, "TLS_ECDHE_RSA_WITH_RC4_128_SHA"},
	{0xc012, "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA"},
	{0xc013, "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA"},
	{0xc014, "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA"},
	{0xc015, "TLS_ECDH_anon_WITH_NULL_SHA"},
	{0xc016, "TLS_ECDH_anon_WITH_RC4_128_SHA"},
	{0xc017, "TLS_ECDH_anon_WITH_3DES_EDE_CBC_SHA"},
	{0xc018, "TLS_ECDH_anon_WITH_AES_128_CBC_SHA"},
	{0xc019, "TLS_ECDH_anon_WITH_AES_256_CBC_SHA"},
	{0xc023, "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256"},
	{0xc024, "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA384"},
	{0xc025, "TLS_ECDH_ECDSA_WITH_AES_128_CBC_SHA256"},
	{0xc026, "TLS_ECDH_ECDSA_WITH_AES_256_CBC_SHA384"},
	{0xc027, "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256"},
	{0xc028, "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384"},
	{0xc029, "TLS_ECDH_RSA_WITH_AES_128_CBC_SHA256"},
	{0xc02a, "TLS_ECDH_RSA_WITH_AES_256_CBC_SHA384"},
	{0xc02b, "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"},
	{0xc02c, "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"},
	{0xc02d, "TLS_ECDH_ECDSA_WITH_AES_128_GCM_SHA256"},
	{0xc02e, "TLS_ECDH_ECDSA_WITH_AES_256_GCM_SHA384"},
	{0xc02f, "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"},
	{0xc030, "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"},
	{0xc031, "TLS_ECDH_RSA_WITH_AES_128_GCM_SHA256"},
	{0xc032, "TLS_ECDH_RSA_WITH_AES_256_GCM_SHA384"},
	{0xc050, "TLS_RSA_WITH_ARIA_128_GCM_SHA256"},
	{0xc051, "TLS_RSA_WITH_ARIA_256_GCM_SHA384"},
	{0xc052, "TLS_DHE_RSA_WITH_ARIA_128_GCM_SHA256"},
	{0xc053, "TLS_DHE_RSA_WITH_ARIA_256_GCM_SHA384"},
	{0xc056, "TLS_DHE_DSS_WITH_ARIA_128_GCM_SHA256"},
	{0xc057, "TLS_DHE_DSS_WITH_ARIA_256_GCM_SHA384"},
	{0xc05c, "TLS_ECDHE_ECDSA_WITH_ARIA_128_GCM_SHA256"},
	{0xc05d, "TLS_ECDHE_ECDSA_WITH_ARIA_256_GCM_SHA384"},
	{0xc060, "TLS_ECDHE_RSA_WITH_ARIA_128_GCM_SHA256"},
	{0xc061, "TLS_ECDHE_RSA_WITH_ARIA_256_GCM_SHA384"},
	{0xc072, "TLS_ECDHE_ECDSA_WITH_CAMELLIA_128_CBC_SHA256"},
	{0xc073, "TLS_ECDHE_ECDSA_WITH_CAMELLIA_256_CBC_SHA384"},
	{0xc076, "TLS_ECDHE_RSA_WITH_CAMELLIA_128_CBC_SHA256"},
	{0xc077, "TLS_ECDHE_RSA_WITH_CAMELLIA_256_CBC_SHA384"},
	{0xc07a, "TLS_RSA_WITH_CAMELLIA_128_GCM_SHA256"},
	{0xc07b, "TLS_RSA_WITH_CAMELLIA_256_GCM_SHA384"},
	{0xc07c, "TLS_DHE_RSA_WITH_CAMELLIA_128_GCM_SHA256"},
	{0xc07d, "TLS_DHE_RSA_WITH_CAMELLIA_256_GCM_SHA384"},
	{0xc080, "TLS_DHE_DSS_WITH_CAMELLIA_128_GCM_SHA256"},
	{0xc081, "TLS_DHE_DSS_WITH_CAMELLIA_256_GCM_SHA384"},
	{0xc084, "TLS_DH_anon_WITH_CAMELLIA_128_GCM_SHA256"},
	{0xc085, "TLS_DH_anon_WITH_CAMELLIA_256_GCM_SHA384"},
	{0xc086, "TLS_ECDHE_ECDSA_WITH_CAMELLIA_128_GCM_SHA256"},
	{0xc087, "TLS_ECDHE_ECDSA_WITH_CAMELLIA_256_GCM_SHA384"},
	{0xc08a, "TLS_ECDHE_RSA_WITH_CAMELLIA_128_GCM_SHA256"},
	{0xc08b, "TLS_ECDHE_RSA_WITH_CAMELLIA_256_GCM_SHA384"},
	{0xc09c, "TLS_RSA_WITH_AES_128_CCM"},
	{0xc09d, "TLS_RSA_WITH_AES_256_CCM"},
	{0xc09e, "TLS_DHE_RSA_WITH_AES_128_CCM"},
	{0xc09f, "TLS_DHE_RSA_WITH_AES_256_CCM"},
	{0xc0a0, "TLS_RSA_WITH_AES_128_CCM_8"},
	{0xc0a1, "TLS_RSA_WITH_AES_256_CCM_8"},
	{0xc0a2, "TLS_DHE_RSA_WITH_AES_128_CCM_8"},
	{0xc0a3, "TLS_DHE_RSA_WITH_AES_256_CCM_8"},
	{0xc0ac, "TLS_ECDHE_ECDSA_WITH_AES_128_CCM"},
	{0xc0ad, "TLS_ECDHE_ECDSA_WITH_AES_256_CCM"},
	{0xc0ae, "TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8"},
	{0xc0af, "TLS_ECDHE_ECDSA_WITH_AES_256_CCM_8"},
	{0xcca8, "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"},
	{0xcca9, "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"},
	{0xccaa, "TLS_DHE_RSA_WITH_CHACHA20_POLY1305_SHA256"},
}
