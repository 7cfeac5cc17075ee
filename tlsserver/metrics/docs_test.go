package metrics

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

func allFamilies() []family {
	return append([]family{
		accepted, refused, ended, living, handshakes, failed, handshaking, policyRefused, acceptFailed, trustChanged, ticketsFailed,
		reloads, reloadedWell, dials, dialling,
	}, whenAsked...)
}

// documented are the rows of docs/metrics.md: name, type and labels in one text.
func documented(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	var rows []string
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(line, "|")
		if len(cells) < 6 || !strings.Contains(cells[1], "`tcps_") {
			continue
		}
		name := strings.Trim(cells[1], " `")
		if strings.TrimSpace(cells[4]) == "" {
			t.Errorf("docs/metrics.md: %s has no meaning", name)
		}
		rows = append(rows, name+" "+strings.TrimSpace(cells[2])+" "+strings.NewReplacer("`", "", " ", "").Replace(cells[3]))
	}
	return rows
}

// What people write alerts about must not change: names, types and labels are those
// of docs/metrics.md, and the other way round.
func TestNamesTypesAndLabelsAreTheDocumentedOnes(t *testing.T) {
	rows := documented(t)
	var all []string
	for _, f := range allFamilies() {
		all = append(all, f.name+" "+string(f.kind)+" "+strings.Join(f.labels, ","))
	}
	slices.Sort(rows)
	slices.Sort(all)
	if !slices.Equal(rows, all) {
		t.Errorf("documented:\n%s\nthere are:\n%s", strings.Join(rows, "\n"), strings.Join(all, "\n"))
	}
}

// The Collector describes these families and no other, each with the label service.
func TestACollectorHasTheFamilies(t *testing.T) {
	descriptions := make(chan *prometheus.Desc, 100)
	New("test", nil).Describe(descriptions)
	close(descriptions)
	var got, want []string
	for d := range descriptions {
		got = append(got, d.String())
	}
	for _, f := range allFamilies() {
		want = append(want, prometheus.NewDesc(f.name, f.help, f.labels, prometheus.Labels{"service": "test"}).String())
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("got:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// Prometheus' own rules for names (https://prometheus.io/docs/practices/naming).
func TestNamesEndInTheirUnits(t *testing.T) {
	for _, f := range allFamilies() {
		if (f.kind == counter) != strings.HasSuffix(f.name, "_total") {
			t.Errorf("%s is a %s: counters and nothing else end in _total", f.name, f.kind)
		}
		if f.kind == histogram && !strings.HasSuffix(f.name, "_seconds") {
			t.Errorf("%s does not end in its unit", f.name)
		}
		if !strings.HasPrefix(f.name, "tcps_") || !strings.HasSuffix(f.help, ".") {
			t.Errorf("%s: %q", f.name, f.help)
		}
	}
}
