package main

import (
	"context"
	"errors"
	"slices"

	"github.com/urfave/cli/v2"
)

// errProcessChanged refuses a file that asks for another process.
var errProcessChanged = errors.New("what the file says under the key process has changed: that needs a restart")

// processSettings are the flags of the process, with where each comes from. A flag
// of the command line goes before a variable, and that before the file.
func (p *program) processSettings(f *configFile, over *cli.Context) ([]setting, error) {
	flags := processFlags()
	for _, field := range f.process {
		if known := flagNames(flags); !slices.Contains(known, field.Key) {
			hint := nearest(field.Key, known)
			if hasFlag(p.serveCommand(), field.Key) || hasFlag(p.forwardCommand(), field.Key) {
				hint = "it is a service's: write it there, or under defaults"
			}
			return nil, misuse(hint, "%s: unknown key %q of process", field.At, field.Key)
		}
	}
	return resolveAll(flags, overLayer(over), environmentLayer(), f.layerOf(f.process, ""))
}

// resolveAll gives each flag the value of the first layer that knows it.
func resolveAll(flags []cli.Flag, layers ...layer) ([]setting, error) {
	var all []setting
	for _, flag := range flags {
		s := setting{flag: flag, byDefault: defaultOf(flag), source: "default"}
		for _, l := range layers {
			values, source, err := l.lookup(flag)
			if err != nil {
				return nil, err
			}
			if len(values) > 0 && s.values == nil {
				s.values, s.source = values, source
			}
		}
		all = append(all, s)
	}
	return all, nil
}

// processContext is the context that a command would have with these flags.
func processContext(ctx context.Context, all []setting) (*cli.Context, error) {
	return contextOf(ctx, &cli.Command{Name: "process", Flags: processFlags()}, flagsOf(all))
}

// readProcess reads what the file says of the process: once, and after that
// nothing of it may change.
func (f *servicesFile) readProcess(file *configFile, again bool) error {
	settings, err := f.program.processSettings(file, f.over)
	if err != nil {
		return err
	}
	if again && !slices.Equal(flagsOf(settings), flagsOf(f.process)) {
		return errProcessChanged
	}
	f.process = settings
	return nil
}
