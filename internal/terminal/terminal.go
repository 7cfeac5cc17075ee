// Package terminal writes text that a stranger may have chosen so that it is
// safe to print and to paste into a shell.
package terminal

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Printable escapes whatever could steer a terminal or forge a line: control
// characters, line ends, characters that turn the direction of writing, bytes
// that are not UTF-8.
func Printable(s string) string {
	var b strings.Builder
	for i, r := range s {
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(s[i:], "\uFFFD"):
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case unicode.IsPrint(r):
			b.WriteRune(r)
		default:
			quoted := strconv.QuoteRuneToASCII(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		}
	}
	return b.String()
}

// ShellWord quotes s, if it needs that, so that it is one word to a shell.
func ShellWord(s string) string {
	safe := func(r rune) bool {
		return r <= unicode.MaxASCII && (unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("/._-+,:@%", r))
	}
	switch {
	case s != "" && strings.IndexFunc(s, func(r rune) bool { return !safe(r) }) < 0:
		return s
	case Printable(s) == s:
		return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
	default: // what only the shells of our days read
		quoted := strconv.QuoteToASCII(s)
		return "$'" + strings.NewReplacer(`\"`, `"`, `'`, `\'`).Replace(quoted[1:len(quoted)-1]) + "'"
	}
}
