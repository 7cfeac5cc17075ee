package pin

import (
	"encoding/hex"
	"strings"
	"testing"
)

func TestEachFormOfAPinIsRead(t *testing.T) {
	var want Pin
	for i := range want {
		want[i] = byte(i * 7)
	}
	plain, base := hex.EncodeToString(want[:]), String(want)
	var pairs []string
	for i := 0; i < len(plain); i += 2 {
		pairs = append(pairs, plain[i:i+2])
	}
	for _, s := range []string{
		plain, strings.ToUpper(plain), strings.Join(pairs, ":"), "sha256:" + plain,
		base, strings.TrimRight(base, "="), "sha256//" + base, "sha256/" + base, "pin:" + base,
	} {
		if got, err := Parse(s); err != nil || got != want {
			t.Errorf("%q is read as %x, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "sha256//", plain[2:], base[4:], "x" + base, "sha1:" + plain} {
		if _, err := Parse(s); err == nil || !strings.Contains(err.Error(), "32 bytes") {
			t.Errorf("%q: %v, want it to say what a pin is", s, err)
		}
	}
}
