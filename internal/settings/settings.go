// Package settings reads files of settings, YAML, into values that know where
// they were written, so that what is wrong with one can be told with its line.
// What the keys mean is not its affair.
package settings

import (
	"bytes"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Bounds of a file.
const (
	MaxBytes = 1 << 20
	maxDepth = 20
)

// A Position is where something was written. Lines and columns count from 1.
type Position struct {
	File         string
	Line, Column int
}

// String is FILE:LINE:COLUMN, which editors and terminals can follow.
func (p Position) String() string { return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column) }

// An Error is something wrong at a position.
type Error struct {
	At  Position
	Err error
}

func (e *Error) Error() string { return fmt.Sprintf("%s: %v", e.At, e.Err) }

// Unwrap is what is wrong.
func (e *Error) Unwrap() error { return e.Err }

// Errorf is an Error at a position.
func (p Position) Errorf(format string, args ...any) error {
	return &Error{p, fmt.Errorf(format, args...)}
}

func (p Position) tooDeep() error {
	return p.Errorf("values are nested more than %d deep", maxDepth)
}

// A Kind is what a Value is.
type Kind int

// The kinds. A text is any scalar, as it is written: 1.3 and true are texts too.
const (
	Text Kind = iota
	List
	Mapping
)

func (k Kind) String() string { return [...]string{"one value", "a list", "a mapping"}[k] }

// A Value is a part of a file.
type Value struct {
	At     Position
	Kind   Kind
	Text   string
	List   []*Value
	Fields []Field // of a mapping, in the order in which they are written
}

// A Field is one key of a mapping and its value.
type Field struct {
	Key   string
	At    Position // of the key
	Value *Value
}

// Texts is a text, or a list of texts: one value may be written without its list.
func (v *Value) Texts() ([]string, error) {
	switch v.Kind {
	case Text:
		return []string{v.Text}, nil
	case Mapping:
		return nil, v.At.Errorf("want a value or a list of values, and this is a mapping")
	}
	var texts []string
	for _, item := range v.List {
		if item.Kind != Text {
			return nil, item.At.Errorf("want one value, and this is %s", item.Kind)
		}
		texts = append(texts, item.Text)
	}
	return texts, nil
}

// Parse reads a file of one document; name is what positions call it. Keys that
// are written twice, values that are left out, tags, zero bytes and what is not
// UTF-8 are errors; anchors, aliases and merge keys (<<) are heeded.
func Parse(name string, content []byte) (*Value, error) {
	if len(content) > MaxBytes {
		return nil, fmt.Errorf("%s: more than %d bytes are no settings", name, MaxBytes)
	}
	content = bytes.TrimPrefix(content, []byte("\xEF\xBB\xBF")) // editors' mark of UTF-8 would be part of the first key
	if err := checkBytes(name, content); err != nil {
		return nil, err
	}
	tokens := lexer.Tokenize(string(content))
	if err := checkDepth(name, tokens); err != nil {
		return nil, err
	}
	file, err := parser.Parse(tokens, 0)
	if err != nil {
		if failed, ok := errors.AsType[yaml.Error](err); ok && failed.GetToken() != nil {
			at := failed.GetToken().Position
			return nil, Position{name, at.Line, at.Column}.Errorf("%s", failed.GetMessage())
		}
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	p := &reader{name: name, anchors: make(map[string]*Value)}
	var bodies []ast.Node
	for _, document := range file.Docs {
		if _, isDirective := document.Body.(*ast.DirectiveNode); document.Body != nil && !isDirective {
			bodies = append(bodies, document.Body)
		}
	}
	switch len(bodies) {
	case 0:
		return nil, fmt.Errorf("%s: the file is empty", name)
	case 1:
		return p.read(bodies[0], 0)
	default:
		return nil, p.at(bodies[1]).Errorf("a second document begins here: want one")
	}
}

// checkDepth refuses what a line alone nests too deep, by brackets or by dashes,
// before it is parsed: the parser keeps the whole way to each value, which is 15 GB
// for 200 kB of brackets. Lines below one another cannot do that: each is longer
// than the one before it.
func checkDepth(name string, tokens token.Tokens) error {
	open, line, entries := 0, 0, 0 // entries of the line
	for _, t := range tokens {
		if t.Position.Line != line {
			line, entries = t.Position.Line, 0
		}
		switch t.Type {
		case token.SequenceStartType, token.MappingStartType:
			open++
		case token.SequenceEndType, token.MappingEndType:
			open = max(open-1, 0)
		case token.SequenceEntryType, token.MappingKeyType:
			entries++
		}
		if max(open, entries) > maxDepth {
			return Position{name, line, t.Position.Column}.tooDeep()
		}
	}
	return nil
}

// checkBytes refuses what is no text: what YAML makes of it differs from what was
// written.
func checkBytes(name string, content []byte) error {
	for i, line := range bytes.Split(content, []byte("\n")) {
		at := bytes.IndexByte(line, 0)
		text := "a zero byte"
		if !utf8.Valid(line) {
			at, text = validUntil(line), "this is not UTF-8"
		}
		if at >= 0 {
			return Position{name, i + 1, utf8.RuneCount(line[:at]) + 1}.Errorf("%s", text)
		}
	}
	return nil
}

// validUntil is where UTF-8 ends.
func validUntil(b []byte) int {
	for i := 0; i < len(b); {
		r, size := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && size == 1 {
			return i
		}
		i += size
	}
	return len(b)
}
