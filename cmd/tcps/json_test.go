package main

import (
	"cmp"
	"crypto/ed25519"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding"
	"fmt"
	"io"
	"math/big"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/urfave/cli/v2"
)

// A jsonField is one row of a table in docs/json.md: the way to a field
// (files[].format), its type, and in words what it means.
type jsonField struct{ path, kind, meaning string }

// A jsonWalk lists the fields of Go types as encoding/json writes them.
type jsonWalk struct{ objects map[reflect.Type]string }

func newJSONWalk() jsonWalk {
	w := jsonWalk{make(map[reflect.Type]string)}
	for name, value := range jsonObjects {
		w.objects[reflect.TypeOf(value)] = name
	}
	return w
}

// fields are those of a struct, in their order, those of inner ones after them.
func (w jsonWalk) fields(t reflect.Type, prefix string) []jsonField {
	var all []jsonField
	for f := range fieldsOf(t) {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "-" || !f.Anonymous && !f.IsExported() {
			continue
		}
		if f.Anonymous && name == "" { // also of a type that is not exported
			all = append(all, w.fields(bareType(f.Type), prefix)...)
			continue
		}
		path, kind, inner := w.kindOf(f.Type, prefix+cmp.Or(name, f.Name))
		switch {
		case strings.Contains(options, "omit"):
			kind += ", optional"
		case f.Type.Kind() == reflect.Pointer:
			kind += " or null"
		}
		all = append(all, jsonField{path: prefix + cmp.Or(name, f.Name), kind: kind})
		if inner != nil {
			all = append(all, w.fields(inner, path+".")...)
		}
	}
	return all
}

func fieldsOf(t reflect.Type) func(func(reflect.StructField) bool) {
	return func(yield func(reflect.StructField) bool) {
		for i := range t.NumField() {
			if !yield(t.Field(i)) {
				return
			}
		}
	}
}

// bareType is what a pointer points at.
func bareType(t reflect.Type) reflect.Type {
	if t.Kind() == reflect.Pointer {
		return t.Elem()
	}
	return t
}

// kindOf is a type in the doc's words; inner is the struct whose fields follow
// under path.
func (w jsonWalk) kindOf(t reflect.Type, path string) (inside, kind string, inner reflect.Type) {
	t = bareType(t)
	if name, ok := w.objects[t]; ok {
		return path, "[" + name + "](#object-" + name + ")", nil
	}
	switch {
	case t == reflect.TypeFor[time.Time]():
		return path, "time", nil
	case t.Implements(reflect.TypeFor[encoding.TextMarshaler]()):
		return path, "string", nil
	}
	switch t.Kind() {
	case reflect.Struct:
		return path, "object", t
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return path, "base64", nil
		}
		inside, kind, inner = w.kindOf(t.Elem(), path+"[]")
		return inside, "list of " + kind, inner
	case reflect.Map:
		inside, kind, inner = w.kindOf(t.Elem(), path+"{}")
		return inside, "map of " + kind, inner
	case reflect.Bool:
		return path, "boolean", nil
	case reflect.Float64:
		return path, "number", nil
	case reflect.Int, reflect.Int64, reflect.Uint16, reflect.Uint64:
		return path, "integer", nil
	}
	return path, t.Kind().String(), nil
}

// documentedJSON reads the tables of docs/json.md by the headings above them.
func documentedJSON(t *testing.T) map[string][]jsonField {
	t.Helper()
	text, err := os.ReadFile("../../docs/json.md")
	if err != nil {
		t.Fatal(err)
	}
	tables, heading := make(map[string][]jsonField), ""
	for line := range strings.Lines(string(text)) {
		if after, ok := strings.CutPrefix(line, "## "); ok {
			heading = strings.TrimSpace(after)
			continue
		}
		cells := strings.Split(strings.TrimSpace(line), "|")
		if len(cells) < 5 || !strings.Contains(cells[1], "`") {
			continue // no row, or the head of a table
		}
		field := jsonField{strings.Trim(cells[1], " `"), strings.TrimSpace(cells[2]), strings.TrimSpace(strings.Join(cells[3:len(cells)-1], "|"))}
		tables[heading] = append(tables[heading], field)
	}
	return tables
}

// docs/json.md has a table for each report and for each object in them, with a
// row for each field, no other, and its type.
func TestEveryFieldOfJSONIsDocumented(t *testing.T) {
	documented, walk := documentedJSON(t), newJSONWalk()
	want := make(map[string]any)
	for name, value := range jsonReports {
		want["tcps "+name] = value
	}
	for name, value := range jsonObjects {
		want["Object "+name] = value
	}
	for heading := range documented {
		if want[heading] == nil {
			t.Errorf("docs/json.md has a table under %q, and no report or object is called that", heading)
		}
	}
	for heading, value := range want {
		compareJSON(t, heading, walk.fields(reflect.TypeOf(value), ""), documented[heading])
	}
}

func compareJSON(t *testing.T, heading string, fields, rows []jsonField) {
	t.Helper()
	for _, f := range fields {
		i := slices.IndexFunc(rows, func(row jsonField) bool { return row.path == f.path })
		switch {
		case i < 0:
			t.Errorf("docs/json.md, %s: there is no row | `%s` | %s | … |", heading, f.path, f.kind)
		case rows[i].kind != f.kind:
			t.Errorf("docs/json.md, %s: %s is %q, want %q", heading, f.path, rows[i].kind, f.kind)
		case rows[i].meaning == "":
			t.Errorf("docs/json.md, %s: %s has no meaning", heading, f.path)
		}
	}
	for i, row := range rows {
		if !slices.ContainsFunc(fields, func(f jsonField) bool { return f.path == row.path }) {
			t.Errorf("docs/json.md, %s: %s does not exist", heading, row.path)
		}
		if slices.ContainsFunc(rows[:i], func(before jsonField) bool { return before.path == row.path }) {
			t.Errorf("docs/json.md, %s: %s is there twice", heading, row.path)
		}
	}
}

// What has a flag --json is in the table, and begins with the version of its form.
func TestEveryCommandWithJSONHasAReport(t *testing.T) {
	app := newApp(stdio{strings.NewReader(""), io.Discard, io.Discard})
	with := make(map[string]bool)
	eachCommand(app.Commands, app.Name, func(name string, c *cli.Command) {
		if slices.ContainsFunc(c.Flags, func(f cli.Flag) bool { return f.Names()[0] == "json" }) {
			with[strings.TrimPrefix(name, "tcps ")] = true
		}
	})
	for name := range with {
		if jsonReports[name] == nil {
			t.Errorf("tcps %s has --json, and jsonReports does not say what it prints", name)
		}
	}
	for name, report := range jsonReports {
		if !with[name] {
			t.Errorf("jsonReports has %q, and no such command has --json", name)
		}
		first := reflect.TypeOf(report).Field(0)
		if got := fmt.Sprint(first.Tag.Get("json"), " ", first.Type); got != "version int" {
			t.Errorf("the report of tcps %s begins with %q, want its version", name, got)
		}
	}
}

// A stranger chose what a certificate says; JSON itself escapes not all of what
// steers a terminal.
func TestListedNamesAreSafeToPrint(t *testing.T) {
	got := listedOf(&x509.Certificate{
		Issuer: pkix.Name{CommonName: "a\x7fb"}, SerialNumber: big.NewInt(7), PublicKey: ed25519.PublicKey{},
		DNSNames: []string{"\u202edlrow.test"},
	}, "authority")
	if got.Issuer != `a\x7fb` || !slices.Equal(got.Names, []string{`\u202edlrow.test`}) {
		t.Errorf("issuer %q, names %q: want them escaped", got.Issuer, got.Names)
	}
}

// The test of the doc must see what it is there to see.
func TestJSONFieldsAreFoundByReflection(t *testing.T) {
	type inner struct {
		At *time.Time `json:"at,omitempty"`
	}
	type sample struct {
		Version int `json:"version"`
		inner
		Names  []string         `json:"names"`
		List   []*inner         `json:"list,omitempty"`
		ByName map[string]inner `json:"by_name"`
		Maybe  *bool            `json:"maybe"`
		Secret string           `json:"-"`
	}
	want := []string{
		"version integer", "at time, optional", "names list of string", "list list of object, optional", "list[].at time, optional",
		"by_name map of object", "by_name{}.at time, optional", "maybe boolean or null",
	}
	var got []string
	for _, f := range newJSONWalk().fields(reflect.TypeFor[sample](), "") {
		got = append(got, f.path+" "+f.kind)
	}
	if !slices.Equal(got, want) {
		t.Errorf("found %q, want %q", got, want)
	}
}
