package terminal_test

import (
	"os/exec"
	"testing"

	"go.uber.org/goleak"

	"tcps/internal/terminal"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestPrintableSteersNoTerminal(t *testing.T) {
	for in, want := range map[string]string{
		"plain text":     "plain text",
		"Zürich 東京":      "Zürich 東京",
		"\x1b[31mred":    `\x1b[31mred`,
		"a\r\nb":         `a\r\nb`,
		"\u202eright":    `\u202eright`,
		"bad \xff utf-8": `bad \xff utf-8`,
		"\ufffd":         "\ufffd",
	} {
		if got := terminal.Printable(in); got != want {
			t.Errorf("Printable(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestAShellReadsAShellWordAsItWas(t *testing.T) {
	for _, word := range []string{"", "/a/b.pem", "two words", "it's", `$(id) "x" \n`, "`id`", "~", "Zürich", "tab\tand\x1besc'quote\""} {
		out, err := exec.Command("bash", "-c", "printf %s "+terminal.ShellWord(word)).Output()
		if err != nil || string(out) != word {
			t.Errorf("%q is written %s, which a shell reads as %q (%v)", word, terminal.ShellWord(word), out, err)
		}
	}
}
