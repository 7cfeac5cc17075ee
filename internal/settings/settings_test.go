package settings_test

import (
	"runtime"
	"strings"
	"testing"

	"tcps/internal/settings"
)

// written is a value in one line, with the line of each text.
func written(v *settings.Value) string {
	var b strings.Builder
	switch v.Kind {
	case settings.Text:
		return v.Text
	case settings.List:
		for _, item := range v.List {
			b.WriteString("[" + written(item) + "]")
		}
	case settings.Mapping:
		for _, field := range v.Fields {
			b.WriteString("{" + field.Key + ": " + written(field.Value) + "}")
		}
	}
	return b.String()
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	for _, tt := range []struct{ name, file, want string }{
		{"scalars stay as they are written", "a: 1.30\nb: off\nc: 007\nd: true\ne: ~x\nf: :8443\ng: 0x10\nh: 1_000\n", "{a: 1.30}{b: off}{c: 007}{d: true}{e: ~x}{f: :8443}{g: 0x10}{h: 1_000}"},
		{"quotes", `{a: "x\ty", b: 'it''s'}`, "{a: x\ty}{b: it's}"},
		{"flow and block", "a: [x, \"y, z\"]\nb:\n  - x\n  - c: d\n    e: f\n", "{a: [x][y, z]}{b: [x][{c: d}{e: f}]}"},
		{"endpoints", "listen: [tcps://:8120, unix:///run/room.sock?mode=0660]\n", "{listen: [tcps://:8120][unix:///run/room.sock?mode=0660]}"},
		{"comments", "# one\na: b # two\n", "{a: b}"},
		{"a text of several lines", "a: |\n  x\n  y\n", "{a: x\ny\n}"},
		{"anchors", "a: &x {b: c}\nd: *x\n", "{a: {b: c}}{d: {b: c}}"},
		{"an editor's mark", "\xEF\xBB\xBFa: b\r\n", "{a: b}"},
		{"a directive", "%YAML 1.2\n---\na: b\n...\n", "{a: b}"},
		{"several mappings merged", "a: &x {b: 1}\nc: &y {b: 2, d: 3}\ne: {<<: [*x, *y], f: 4}\n", "{a: {b: 1}}{c: {b: 2}{d: 3}}{e: {f: 4}{b: 1}{d: 3}}"},
		{"merge keys", "a: &x {b: c, d: e}\nf:\n  <<: *x\n  d: own\n", "{a: {b: c}{d: e}}{f: {d: own}{b: c}}"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v, err := settings.Parse("f", []byte(tt.file))
			if err != nil {
				t.Fatal(err)
			}
			if got := written(v); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestWhatIsWrongIsToldWithItsPlace(t *testing.T) {
	for _, tt := range []struct{ name, file, want string }{
		{"a key twice", "a: b\nc: d\na: e\n", `f:3:1: `},
		{"no value", "a:\nb: c\n", "the value is left out"},
		{"no value in a list", "a: [b, ]\nc: [~]\n", "f:2:5: the value is left out"},
		{"a bracket", "a: [b\n", "f:1:4: "},
		{"a tag", "a: !secret x\n", "is not understood here"},
		{"no anchor", "a: *x\n", "no anchor &x"},
		{"an anchor within itself", "a: &x [*x]\n", "no anchor &x"},
		{"two documents", "a: b\n---\nc: d\n", "f:3:"},
		{"nothing", "# empty\n", "f: the file is empty"},
		{"merging no mapping", "a: &x [b]\nc:\n  <<: *x\n", "f:1:8: << wants a mapping, and this is one value"},
		{"bytes that are no text", "a: b\nc: 'ö\xff'\n", "f:2:6: this is not UTF-8"},
		{"a zero byte", "a: b\nc: d\x00\n", "f:2:5: a zero byte"},
		{"a zero byte in quotes", "a: \"d\\0\"\n", "f:1:4: a zero byte"},
		{"a zero byte in a key", "\"d\\0\": a\n", "f:1:1: a zero byte"},
		{"too deep", "a: " + strings.Repeat("[", 30) + strings.Repeat("]", 30), "nested more than 20 deep"},
		{"too deep in indented lines", nestedLines(30), "f:22:23: values are nested more than 20 deep"},
		{"too long", "a: " + strings.Repeat("x", settings.MaxBytes), "more than 1048576 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v, err := settings.Parse("f", []byte(tt.file))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v and the error %v, want %q", v, err, tt.want)
			}
		})
	}
}

func nestedLines(depth int) string {
	var b strings.Builder
	for i := range depth {
		b.WriteString(strings.Repeat(" ", i) + "a:\n")
	}
	return b.String() + strings.Repeat(" ", depth) + "b\n"
}

// A file that is read anew while others are served must not take their memory.
func TestNestingTakesNoMemory(t *testing.T) {
	const depth = 20_000
	for _, nest := range []string{"[", "{a: ", "- ", "? - "} {
		t.Run(nest, func(t *testing.T) {
			file := []byte("a:\n  " + strings.Repeat(nest, depth))
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := settings.Parse("f", file)
			runtime.ReadMemStats(&after)
			if err == nil || !strings.Contains(err.Error(), "f:2:") || !strings.Contains(err.Error(), "nested more than 20 deep") {
				t.Errorf("got the error %v", err)
			}
			if took := (after.TotalAlloc - before.TotalAlloc) >> 20; took > 100 {
				t.Errorf("it took %d MiB", took)
			}
		})
	}
}

func TestTexts(t *testing.T) {
	v, err := settings.Parse("f", []byte("a: x\nb: [x, y]\nc: [[x]]\nd: {e: f}\n"))
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"x", "x y", "f:3:5: want one value, and this is a list", "f:4:5: want a value or a list of values, and this is a mapping"} {
		texts, err := v.Fields[i].Value.Texts()
		got := strings.Join(texts, " ")
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", v.Fields[i].Key, got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"a: &x [b, {c: d}]\ne: *x\nf: {<<: {g: h}}\n", "- |\n x\n", "a: \"\\x41\"", "? a\n: b\n", "a: !!str b", "%YAML 1.2\n---\na: b\n", "a:\n\t- b", "{a: b, a: c}", "*x", "- ? - [{a: [", "]]}["} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		v, err := settings.Parse("f", content)
		if (v == nil) == (err == nil) {
			t.Errorf("a value %v and an error %v", v, err)
		}
	})
}
