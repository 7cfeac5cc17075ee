package tlsserver_test

import (
	"os"
	"strings"
	"testing"
)

// What the README shows of the library is what ExampleServer compiles.
func TestTheReadmesProgramIsTheExample(t *testing.T) {
	readme, example := readFile(t, "../README.md"), readFile(t, "example_test.go")
	_, rest, _ := strings.Cut(readme, "```go\n")
	program, _, ok := strings.Cut(rest, "```")
	if !ok {
		t.Fatal("the README has no Go program")
	}
	indented := "\t" + strings.ReplaceAll(strings.TrimSuffix(program, "\n"), "\n", "\n\t") + "\n}"
	if !strings.Contains(example, indented) {
		t.Errorf("ExampleServer differs from the README's program:\n%s", program)
	}
	if lines := strings.Count(program, "\n"); lines > 15 {
		t.Errorf("the README's program has %d lines, it promises fifteen", lines)
	}
	for _, file := range []string{"../LICENSE", "../CHANGELOG.md", "../docs/architecture.md"} {
		if _, err := os.Stat(file); err != nil {
			t.Errorf("the README links to what is not there: %v", err)
		}
	}
}
