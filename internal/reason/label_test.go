package reason

import (
	"slices"
	"testing"
)

func TestALabelLeavesOutWhatIsWithoutBound(t *testing.T) {
	for r, want := range map[Reason]string{
		Done:                                "done",
		Policy("allow-uri=spiffe://a/b"):    "policy",
		Policy(""):                          "policy",
		Limit("address-rate"):               "limit:address-rate",
		Limit("192.0.2.7"):                  "limit",
		Timeout("hello"):                    "timeout:hello",
		Timeout(""):                         "timeout",
		PeerRefusedUs("bad_certificate"):    "peer-refused-us:bad_certificate",
		PeerRefusedUs("554 go away"):        "peer-refused-us",
		Target(PeerRefusedUs("unknown_ca")): "target:peer-refused-us:unknown_ca",
		Target(Policy("deny-cn=a")):         "target:policy",
		Target(Timeout("connect")):          "target:timeout:connect",
		"out-of-paper":                      "out-of-paper", // a Handler's own word
		"out-of-paper:a":                    "out-of-paper",
	} {
		if got := r.Label(); got != want {
			t.Errorf("the label of %q is %q, want %q", r, got, want)
		}
	}
}

func TestLabelsAreAllThatThereAre(t *testing.T) {
	all := Labels(true)
	if !slices.IsSorted(all) || len(slices.Compact(slices.Clone(all))) != len(all) {
		t.Errorf("not sorted, or twice the same: %q", all)
	}
	for _, label := range all {
		if got := Reason(label).Label(); got != label {
			t.Errorf("the label of %q is %q, want itself", label, got)
		}
	}
	for name, value := range constants(t) {
		if !slices.Contains(all, string(value)) {
			t.Errorf("%s = %q is not among the labels", name, value)
		}
	}
	if n := len(Labels(false)); 2*n != len(all) {
		t.Errorf("%d labels with targets and %d without, want twice as many", len(all), n)
	}
}
