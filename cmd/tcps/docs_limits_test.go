package main

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"

	"tcps/tlsserver"
)

// The page of limits has every limit, with its default and the reasons that the
// log has for it.
func TestThePageOfLimitsHasThemAll(t *testing.T) {
	text, err := os.ReadFile("../../docs/limits.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := make(map[string][]string)
	for _, m := range regexp.MustCompile("(?m)^\\| `--([a-z-]+)` \\| (.*?) \\| (.*?) \\|").FindAllStringSubmatch(string(text), -1) {
		rows[m[1]] = m[2:]
	}
	for _, f := range limitFlags() {
		name := f.Names()[0]
		row, there := rows[name]
		if _, isBool := f.(*cli.BoolFlag); isBool || name == "bandwidth" {
			if !strings.Contains(string(text), "`--"+name) {
				t.Errorf("the page does not have --%s", name)
			}
			continue
		}
		delete(rows, name)
		if generic := f.(*cli.GenericFlag); !there || generic.DefaultText == "" && row[0] != defaultOf(f) {
			t.Errorf("--%s: the page says %q, the default is %q", name, row, defaultOf(f))
			continue
		}
		for reason, flag := range limitNames {
			if flag == name && !strings.Contains(row[1], "`"+string(reason)+"`") {
				t.Errorf("--%s: the page says %q, and a reason is %s", name, row[1], reason)
			}
		}
	}
	for name := range rows {
		t.Errorf("the page has --%s, which is no limit", name)
	}
	for _, reason := range regexp.MustCompile("`((?:limit|timeout):[a-z-]+)`").FindAllStringSubmatch(string(text), -1) {
		if limitNames[tlsserver.Reason(reason[1])] == "" && !slices.Contains([]string{"limit:descriptors"}, reason[1]) {
			t.Errorf("the page has the reason %s, which no limit has", reason[1])
		}
	}
}
