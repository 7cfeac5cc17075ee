package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"
)

// env is the environment variable of a flag.
func env(name string) []string {
	return []string{"TCPS_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))}
}

func stringFlag(category, name, value, usage string) *cli.GenericFlag {
	v := text(value)
	return &cli.GenericFlag{Category: category, Name: name, EnvVars: env(name), Value: &v, Usage: usage}
}

func listFlag(category, name, usage string) *cli.StringSliceFlag {
	return &cli.StringSliceFlag{Category: category, Name: name, EnvVars: env(name), Usage: usage}
}

func boolFlag(category, name, usage string) *cli.BoolFlag {
	return &cli.BoolFlag{Category: category, Name: name, EnvVars: env(name), Usage: usage, DisableDefaultText: true}
}

func durationFlag(category, name string, value time.Duration, usage string) *cli.GenericFlag {
	v := duration(value)
	return &cli.GenericFlag{Category: category, Name: name, EnvVars: env(name), Value: &v, Usage: usage}
}

func countFlag(category, name string, value int, usage string) *cli.GenericFlag {
	v := count(value)
	return &cli.GenericFlag{Category: category, Name: name, EnvVars: env(name), Value: &v, Usage: usage}
}

func bytesFlag(category, name string, value int, usage string) *cli.GenericFlag {
	v := byteSize(value)
	return &cli.GenericFlag{Category: category, Name: name, EnvVars: env(name), Value: &v, Usage: usage}
}

func byteLimitFlag(category, name, usage string) *cli.GenericFlag {
	return &cli.GenericFlag{Category: category, Name: name, EnvVars: env(name), Value: new(byteLimit), Usage: usage}
}

// flagNames are the names of flags, without their aliases.
func flagNames(flags []cli.Flag) []string {
	var names []string
	for _, f := range flags {
		names = append(names, f.Names()[0])
	}
	return names
}

// list is the values of a repeatable flag, without empty ones: an environment
// variable that is set to nothing means nothing.
func list(c *cli.Context, name string) []string {
	var values []string
	for _, v := range c.StringSlice(name) {
		if v != "" {
			values = append(values, v)
		}
	}
	return values
}

// A text is a flag's value. Unlike cli.StringFlag it takes an environment
// variable that is set to nothing for one that is not set.
type text string

func (t *text) Set(s string) error {
	if s != "" {
		*t = text(s)
	}
	return nil
}

func (t *text) String() string { return string(*t) }

// A duration is a flag's value: 10s, 1h30m, 90d; 0 and off both mean none.
type duration time.Duration

func (d *duration) Set(s string) error {
	if s == "off" || s == "0" {
		*d = 0
		return nil
	}
	if days, ok := strings.CutSuffix(s, "d"); ok {
		if n, err := strconv.ParseUint(days, 10, 16); err == nil {
			*d = duration(n) * duration(24*time.Hour)
			return nil
		}
	}
	parsed, err := time.ParseDuration(s)
	if err != nil || parsed < 0 {
		return errors.New("not a duration: want 10s, 5m, 1h30m, 90d, or off")
	}
	*d = duration(parsed)
	return nil
}

func (d *duration) String() string {
	switch v := time.Duration(*d); {
	case v == 0:
		return "off"
	case v%(24*time.Hour) == 0:
		return fmt.Sprintf("%dd", v/(24*time.Hour))
	default:
		s := v.String()
		if strings.HasSuffix(s, "m0s") {
			s = strings.TrimSuffix(s, "0s")
		}
		return s
	}
}

// durationOf is the value of a flag, as the libraries want it: negative is none.
func durationOf(c *cli.Context, name string) time.Duration {
	d := time.Duration(*c.Generic(name).(*duration))
	if d == 0 {
		return -1
	}
	return d
}

// A count is a flag's value; 0 and off both mean none.
type count int

func (n *count) Set(s string) error {
	if s == "off" {
		s = "0"
	}
	parsed, err := strconv.ParseUint(s, 10, 31)
	if err != nil {
		return errors.New("not a number: want 1 or more, or off")
	}
	*n = count(parsed)
	return nil
}

func (n *count) String() string {
	if *n == 0 {
		return "off"
	}
	return strconv.Itoa(int(*n))
}

// countOf is the value of a flag, as the libraries want it: negative is none.
func countOf(c *cli.Context, name string) int {
	n := int(*c.Generic(name).(*count))
	if n == 0 {
		return -1
	}
	return n
}

// A byteSize is a flag's value: 65536, 64KiB, 1MiB.
type byteSize int

func (b *byteSize) Set(s string) error {
	n, err := parseBytes(s, 1<<31-1)
	if err != nil {
		return errors.New("not a number of bytes: want 65536, 64KiB or 1MiB")
	}
	*b = byteSize(n)
	return nil
}

func (b *byteSize) String() string { return formatBytes(int64(*b)) }

// A byteLimit is a flag's value as byteSize, larger; 0 and off both mean none.
type byteLimit int64

func (b *byteLimit) Set(s string) error {
	if s == "off" || s == "0" {
		*b = 0
		return nil
	}
	n, err := parseBytes(s, 1<<62)
	if err != nil {
		return errors.New("not a number of bytes: want 65536, 64KiB, 1MiB, 2GiB, or off")
	}
	*b = byteLimit(n)
	return nil
}

func (b *byteLimit) String() string {
	if *b == 0 {
		return "off"
	}
	return formatBytes(int64(*b))
}

func parseBytes(s string, most int64) (int64, error) {
	number, unit := s, int64(1)
	for suffix, factor := range map[string]int64{"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30} {
		if n, ok := strings.CutSuffix(s, suffix); ok {
			number, unit = n, factor
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n <= 0 || n > most/unit {
		return 0, strconv.ErrRange
	}
	return n * unit, nil
}

func formatBytes(n int64) string {
	switch {
	case n%(1<<20) == 0:
		return fmt.Sprintf("%dMiB", n>>20)
	case n%(1<<10) == 0:
		return fmt.Sprintf("%dKiB", n>>10)
	default:
		return strconv.FormatInt(n, 10)
	}
}

// bytesOf is the value of a flag.
func bytesOf(c *cli.Context, name string) int { return int(*c.Generic(name).(*byteSize)) }

// byteLimitOf is the value of a flag, as the libraries want it: negative is none.
func byteLimitOf(c *cli.Context, name string) int64 {
	if n := int64(*c.Generic(name).(*byteLimit)); n > 0 {
		return n
	}
	return -1
}

func stateFlag() *cli.GenericFlag {
	f := stringFlag("State", "state", "", "`DIR` of the local authority and of what serve keeps: certificates, ticket keys, revocation lists")
	f.DefaultText = "$STATE_DIRECTORY, $XDG_DATA_HOME/tcps or ~/.local/share/tcps"
	return f
}

// stateDir is the folder in which tcps keeps what is its own.
func stateDir(c *cli.Context) (string, error) {
	if dir := c.String("state"); dir != "" {
		return dir, nil
	}
	if dirs := os.Getenv("STATE_DIRECTORY"); dirs != "" { // systemd.exec(5): several are divided by colons
		dir, _, _ := strings.Cut(dirs, ":")
		return dir, nil
	}
	if dir := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(dir) { // a relative one is to be ignored (XDG base directories)
		return filepath.Join(dir, "tcps"), nil
	}
	if home, err := os.UserHomeDir(); err == nil && home != "" {
		if runtime.GOOS == "windows" {
			return filepath.Join(home, "AppData", "Local", "tcps"), nil
		}
		return filepath.Join(home, ".local", "share", "tcps"), nil
	}
	return "", failure(errors.New("find the state folder: --state is not given, and none of STATE_DIRECTORY, XDG_DATA_HOME and HOME is set"),
		"say where the local authority is to be kept: --state DIR")
}

// authorityDir is the folder of the local authority.
func authorityDir(c *cli.Context) (string, error) {
	dir, err := stateDir(c)
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, "authority"), nil
}
