package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// prepare gives every command what urfave/cli leaves to each: a short answer
// to wrong flags, and no help command of its own.
func prepare(commands []*cli.Command) {
	for _, c := range commands {
		c.OnUsageError = onUsageError
		c.HideHelpCommand = true
		prepare(c.Subcommands)
	}
}

// arrange puts a command line into the order that urfave/cli reads: commands,
// flags, and after "--" the arguments, so that flags work everywhere. It
// answers unknown flags and missing values by itself, with the flag as it was
// written.
func arrange(app *cli.App, args []string) ([]string, error) {
	if len(args) == 1 && (args[0] == "--version" || args[0] == "-v") {
		return []string{"version"}, nil
	}
	if len(args) > 1 && args[0] == "help" {
		args = append(args[1:len(args):len(args)], "--help") // help of a subcommand too
	}
	var path, flags, positional []string
	commands := app.Commands
	var command *cli.Command
	for i := 0; i < len(args); i++ {
		arg := args[i]
		switch {
		case arg == "--":
			positional = append(positional, args[i+1:]...)
			i = len(args)
		case len(arg) > 1 && arg[0] == '-':
			flags = append(flags, arg)
			takes, known := takesValue(app.Commands, arg)
			if known && takes && !strings.Contains(arg, "=") && i+1 < len(args) {
				if _, isFlag := takesValue(app.Commands, args[i+1]); isFlag && strings.HasPrefix(args[i+1], "--") {
					return nil, misuse("a value that begins with -- is written "+arg+"="+args[i+1], "flag %s needs a value, and %s follows it", arg, args[i+1])
				}
				i++
				flags = append(flags, args[i])
			}
		default:
			next := findCommand(commands, arg)
			if arg == "help" && command != nil && len(positional) == 0 {
				flags = append(flags, "--help")
				continue
			}
			if next == nil || len(positional) > 0 {
				positional = append(positional, arg)
				continue
			}
			path, commands, command = append(path, arg), next.Subcommands, next
		}
	}
	if err := checkFlags(app, strings.Join(append([]string{app.Name}, path...), " "), command, flags); err != nil {
		return nil, err
	}
	if slices.Contains(flags, "--help") || slices.Contains(flags, "-h") {
		if len(positional) > 0 && len(commands) > 0 {
			return nil, unknownCommand(strings.Join(append([]string{app.Name}, path...), " "), commands, positional[0])
		}
		positional = nil // the command's help, whatever it would have been applied to
	}
	line := append(path, flags...)
	if len(positional) > 0 {
		line = append(append(line, "--"), positional...)
	}
	if command == nil && len(positional) > 0 { // "help" and unknown commands are urfave/cli's and noCommand's
		line = append(flags, positional...)
	}
	return line, nil
}

// helpFor is the command line that shows the help for another one.
func helpFor(app *cli.App, args []string) string {
	line, commands := app.Name, app.Commands
	for _, arg := range args {
		if c := findCommand(commands, arg); c != nil {
			line, commands = line+" "+arg, c.Subcommands
		}
	}
	return line + " --help"
}

// checkFlags looks for the first flag that the command does not have.
func checkFlags(app *cli.App, name string, command *cli.Command, flags []string) error {
	known := []string{"help", "h"}
	if command != nil {
		for _, f := range command.Flags {
			known = append(known, f.Names()...)
		}
	}
	for i := 0; i < len(flags); i++ {
		flag := flags[i]
		bare := flagName(flag)
		if bare == "passphrase" && slices.Contains(known, "passphrase-file") {
			return misuse("name a file that has it: --passphrase-file FILE; or set "+passphraseVariable+", or run it on a terminal, which asks",
				"there is no flag --passphrase: everybody on this machine can read what stands on a command line")
		}
		if !slices.Contains(known, bare) {
			return misuse(suggestion("--", bare, known, name+" --help"), "%s has no flag %s", name, "--"+bare)
		}
		takes, _ := takesValue(app.Commands, flag)
		if !takes {
			continue
		}
		_, value, inline := strings.Cut(flag, "=")
		if !inline {
			if i++; i == len(flags) {
				return misuse("", "flag %s needs a value", flag)
			}
			value = flags[i]
		}
		if value == "" { // a variable of a script that is not set, perhaps: it must not turn a check off
			return misuse("leave the flag out if it is not meant", "flag --%s has an empty value", bare)
		}
	}
	return nil
}

func flagName(arg string) string {
	name, _, _ := strings.Cut(strings.TrimLeft(arg, "-"), "=")
	return name
}

// takesValue reports whether a flag is followed by its value. A name means the
// same with every command.
func takesValue(commands []*cli.Command, arg string) (takes, known bool) {
	if len(arg) < 2 || arg[0] != '-' {
		return false, false
	}
	for _, c := range commands {
		for _, f := range c.Flags {
			if slices.Contains(f.Names(), flagName(arg)) {
				_, isBool := f.(*cli.BoolFlag)
				return !isBool, true
			}
		}
		if takes, known := takesValue(c.Subcommands, arg); known {
			return takes, true
		}
	}
	return false, false
}

func findCommand(commands []*cli.Command, name string) *cli.Command {
	for _, c := range commands {
		if c.HasName(name) {
			return c
		}
	}
	return nil
}

// suggestion names the nearest spelling, or else where help is.
func suggestion(prefix, word string, known []string, help string) string {
	best, distance := "", 1+len(word)/2
	for _, k := range known {
		if len(k) < 2 {
			continue
		}
		if d := editDistance(word, k); d < distance {
			best, distance = k, d
		}
	}
	if i := slices.IndexFunc(known, func(k string) bool { return strings.HasPrefix(k, word) }); i >= 0 && distance > 1 && len(word) > 2 {
		best = known[i]
	}
	if best != "" {
		return fmt.Sprintf("did you mean %s%s?", prefix, best)
	}
	return fmt.Sprintf("%q describes what there is", help)
}

// editDistance is Levenshtein's.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
