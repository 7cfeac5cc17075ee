package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/urfave/cli/v2"
)

type hostileStringer struct{}

func (hostileStringer) String() string { return hostile }

// hostile is what a stranger might put into a server name or a certificate: a
// colour, a title, a cleared screen, a line of its own, writing that turns, and
// an escape that is spelled out, which tint would make one.
const hostile = `\x1b[35mspelled\u001b[36mout\033[34m` + "a\x1b[31mred\x1b]0;title\x07\x1b[2J\nlevel=INFO msg=forged\r\u202eturned\u202c\x9b1m\x00\x7f"

// logHostile writes the hostile text everywhere that a record has room for it.
func logHostile(colour bool) string {
	var b bytes.Buffer
	log := slog.New(terminalHandler(&b, slog.LevelDebug, colour))
	for _, level := range []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError, slog.LevelError + 1} {
		log.Log(context.Background(), level, hostile,
			"string", hostile, "err", errors.New(hostile), "list", []string{hostile, hostile}, "stringer", hostileStringer{},
			"duration", time.Second, slog.Group("group", "string", hostile, "err", errors.New(hostile)))
	}
	log.With("string", hostile, "err", errors.New(hostile)).WithGroup("group").Info(hostile, "string", hostile)
	return b.String()
}

func checkNothingSteers(t *testing.T, out string) {
	t.Helper()
	for _, line := range strings.Split(strings.TrimSuffix(out, "\n"), "\n") {
		for _, r := range line {
			if !unicode.IsPrint(r) {
				t.Errorf("%U reached the terminal: %q", r, line)
				break
			}
		}
		if strings.HasPrefix(line, "level=INFO msg=forged") {
			t.Errorf("a line was forged: %q", line)
		}
	}
	if n := strings.Count(out, "\n"); n > 6 {
		t.Errorf("%d lines of 6 records at most:\n%s", n, out)
	}
	if !strings.Contains(out, "turned") {
		t.Errorf("the text itself is not there:\n%s", out)
	}
}

func TestTerminalLogLetsNoTextSteerTheTerminal(t *testing.T) {
	checkNothingSteers(t, logHostile(false))
}

// With colour there are the handler's own escapes, and they only set colours.
func TestTerminalLogOnlyHasColoursOfItsOwn(t *testing.T) {
	var b bytes.Buffer
	slog.New(terminalHandler(&b, slog.LevelInfo, true)).Error("harmless", "err", errors.New("harmless"), "a", 1)
	colours := regexp.MustCompile(`\x1b\[[0-9;]*m`)
	if !colours.MatchString(b.String()) {
		t.Errorf("no colour: %q", b.String())
	}
	out := logHostile(true)
	for _, colour := range []string{"31", "34", "35", "36"} {
		if strings.Contains(out, "\x1b["+colour+"m") {
			t.Errorf("the text's own colour %s came through:\n%q", colour, out)
			break
		}
	}
	checkNothingSteers(t, colours.ReplaceAllString(out, ""))
	plain, coloured := logHostile(false), out
	if a, b := strings.Count(plain, "turned"), strings.Count(coloured, "turned"); a != b {
		t.Errorf("the text is there %d times without colour, %d times with", a, b)
	}
}

// Without a terminal there is no colour, and a stranger's text is quoted too.
func TestLogToAFileHasNoEscapes(t *testing.T) {
	for _, form := range []string{"auto", "text", "json"} {
		var b bytes.Buffer
		app := &cli.App{Flags: logFlags(), Action: func(c *cli.Context) error {
			log, err := newLogger(c, &b)
			if err == nil {
				log.Info(hostile, "string", hostile, "err", errors.New(hostile), "list", []string{hostile})
			}
			return err
		}}
		if err := app.Run([]string{"tcps", "--log", form}); err != nil {
			t.Fatal(err)
		}
		if strings.ContainsAny(b.String(), "\x1b\r\x00\x07") || strings.Count(b.String(), "\n") != 1 {
			t.Errorf("--log %s: %q", form, b.String())
		}
	}
}

func TestTerminalLogIsShort(t *testing.T) {
	for _, colour := range []bool{false, true} {
		var b bytes.Buffer
		slog.New(terminalHandler(&b, slog.LevelDebug, colour)).Warn("words", "duration", 1500*time.Millisecond, "n", 7)
		plain := regexp.MustCompile(`\x1b\[[0-9;]*m`).ReplaceAllString(b.String(), "")
		if !regexp.MustCompile(`^\d\d:\d\d:\d\d W\S+ words duration=1\.5s n=7\n$`).MatchString(plain) {
			t.Errorf("colour %t: %q, want the time of day, the level, the message and the values", colour, plain)
		}
	}
}
