package service

import (
	"slices"
	"strings"
	"testing"

	"tcps/tlsserver"
)

func TestValuesThatCouldPassForOthersAreLeftOut(t *testing.T) {
	var env variables
	env.setIdentity(&tlsserver.Identity{
		Verified:            true,
		CommonName:          "alice\nTCPS_PEER_OU=admins",
		OrganizationalUnits: []string{"ops\nadmins", "guests", "a\x00b", "", "it\rx", "staff"},
		URIs:                []string{"x\x1b[2J"},
	})
	env.set("TLS_SNI", "a\u0085b")
	want := []string{"TCPS_PEER_VERIFIED=1", "TCPS_PEER_OU=guests\nstaff"}
	got := slices.DeleteFunc(env, func(v string) bool { return strings.HasPrefix(v, "TCPS_PEER_PIN=") })
	if !slices.Equal(got, want) {
		t.Errorf("variables %q, want %q", []string(got), want)
	}
}
