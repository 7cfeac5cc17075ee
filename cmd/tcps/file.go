package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"tcps/internal/endpoint"
	"tcps/internal/settings"
)

// A configFile is a file of services and connections as it is written: the keys
// are known, and nothing is known of the values yet.
type configFile struct {
	path        string
	process     []settings.Field
	defaults    []settings.Field
	services    []*settings.Value // mappings
	connections []settings.Field  // of mappings
}

// The keys at the top of a file.
var fileKeys = []string{"process", "defaults", "services", "connections"}

// readFile reads a file of services.
func readFile(path string) (*configFile, error) {
	content, err := contentOf(path)
	if err != nil {
		if failed, ok := errors.AsType[*fs.PathError](err); ok {
			err = failed.Err
		}
		return nil, fileFailure(fmt.Errorf("read file %q: %w", path, err))
	}
	root, err := settings.Parse(path, content)
	if err != nil {
		return nil, misuse(shapeHint, "%v", err)
	}
	f := &configFile{path: path}
	if root.Kind != settings.Mapping {
		return nil, misuse(fileExample, "%s: want the keys process, defaults, services and connections, and this is %s", root.At, root.Kind)
	}
	for _, field := range root.Fields {
		if err := f.readTop(field); err != nil {
			return nil, err
		}
	}
	if len(f.services)+len(f.connections) == 0 {
		return nil, misuse(fileExample, "%s: there are no services in it", path)
	}
	return f, nil
}

// contentOf reads a file or a pipe, and of an endless one no more than it takes
// to refuse it.
func contentOf(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, settings.MaxBytes+1))
}

// What to do about a file: about its shape, and about a value in it.
const (
	fileExample = "for instance: services: [{listen: tcps://:8443, forward: tcp://127.0.0.1:5432}]"
	shapeHint   = "\"tcps run --help\" shows what a file looks like"
	valueHint   = "\"tcps serve --help\", \"tcps forward --help\" and \"tcps connect --help\" describe the flags"
)

func (f *configFile) readTop(field settings.Field) error {
	v := field.Value
	switch field.Key {
	case "process":
		f.process = v.Fields
		return wantKind(field.Key, v, settings.Mapping)
	case "defaults":
		f.defaults = v.Fields
		return wantKind(field.Key, v, settings.Mapping)
	case "connections":
		f.connections = v.Fields
		for _, connection := range v.Fields {
			if err := wantKind("connection "+connection.Key, connection.Value, settings.Mapping); err != nil {
				return err
			}
		}
		return wantKind(field.Key, v, settings.Mapping)
	case "services":
		f.services = v.List
		for _, service := range v.List {
			if err := wantKind("a service", service, settings.Mapping); err != nil {
				return err
			}
		}
		return wantKind(field.Key, v, settings.List)
	default:
		return misuse(nearest(field.Key, fileKeys), "%s: unknown key %q", field.At, field.Key)
	}
}

func wantKind(what string, v *settings.Value, want settings.Kind) error {
	if v.Kind != want {
		return misuse(fileExample, "%s: %s: want %s, and this is %s", v.At, what, want, v.Kind)
	}
	return nil
}

// nearest is the hint for a wrong key.
func nearest(key string, known []string) string {
	return suggestion("", key, known, "tcps run --help")
}

// dir is the folder that paths of the file are relative to.
func (f *configFile) dir() string { return filepath.Dir(f.path) }

// absolute is a path that a folder has been put before, if it was relative.
func absolute(path, dir string) string {
	if filepath.IsAbs(path) {
		return path
	}
	if whole, err := filepath.Abs(filepath.Join(dir, path)); err == nil {
		return whole
	}
	return path
}

// absoluteEndpoint is an endpoint whose path, if it has one, is absolute.
func absoluteEndpoint(text, dir string) string {
	e, err := endpoint.Parse(text)
	if err != nil || !e.IsUnix() || filepath.IsAbs(e.Path) || strings.HasPrefix(e.Path, "@") { // those have no file
		return text
	}
	e.Path = absolute(e.Path, dir)
	return e.String()
}

// absoluteValue is a value of a flag, with what is a path in it absolute.
func absoluteValue(f cli.Flag, value, dir string) string {
	usage := f.(cli.DocGenerationFlag).GetUsage()
	switch {
	case isPath(f):
		return absolute(value, dir)
	case strings.Contains(usage, "`ENDPOINT`"):
		return absoluteEndpoint(value, dir)
	case strings.Contains(usage, "=TARGET`"):
		key, to, _ := strings.Cut(value, "=")
		if to != "" {
			return key + "=" + absoluteEndpoint(to, dir)
		}
	}
	return value
}

// fieldOf is the field of a key, if there is one.
func fieldOf(fields []settings.Field, key string) (settings.Field, bool) {
	i := slices.IndexFunc(fields, func(f settings.Field) bool { return f.Key == key })
	if i < 0 {
		return settings.Field{}, false
	}
	return fields[i], true
}
