package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A block of Go on a page is the body of an example, which go test runs:
//
//	<!-- go: tlsclient/example_test.go ExampleDialer -->
//	```go
//	…
//	```
//
// After a change of an example, -run TestTheGoOfThePages -update writes it anew.
var goBlock = regexp.MustCompile("(?s)<!-- go: (\\S+) (\\S+) -->\n```go\n(.*?)```\n")

func TestTheGoOfThePagesIsTheExamples(t *testing.T) {
	for _, p := range pages(t) {
		blocks := goBlock.FindAllStringSubmatch(p.text, -1)
		if all := strings.Count(p.text, "```go\n"); all != len(blocks) {
			t.Errorf("%s.md has %d blocks of Go, and %d name their example", p.name, all, len(blocks))
		}
		text := p.text
		for _, block := range blocks {
			want := bodyOf(t, block[1], block[2])
			if block[3] == want {
				continue
			}
			if !*update {
				t.Errorf("%s.md: the block differs from %s in %s (run with -update), which is\n%s", p.name, block[2], block[1], want)
			}
			text = strings.Replace(text, block[0], strings.Replace(block[0], "```go\n"+block[3], "```go\n"+want, 1), 1)
		}
		if *update && text != p.text {
			if err := os.WriteFile(filepath.Join("../../docs", p.name+".md"), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// bodyOf is what stands in a function, a tab less indented. An example's output
// is checked where it has one; a page shows none that is not.
func bodyOf(t *testing.T, file, function string) string {
	t.Helper()
	path := filepath.Join("../..", file)
	source, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	files := token.NewFileSet()
	parsed, err := parser.ParseFile(files, path, source, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range parsed.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || f.Name.Name != function {
			continue
		}
		body := string(source[files.Position(f.Body.Lbrace).Offset+2 : files.Position(f.Body.Rbrace).Offset])
		if !strings.Contains(body, "// Output:") {
			t.Errorf("%s in %s has no output, so nothing runs it", function, file)
		}
		return strings.ReplaceAll("\n"+body, "\n\t", "\n")[1:]
	}
	t.Fatalf("%s has no %s", file, function)
	return ""
}

var goNames = regexp.MustCompile("`(tlsserver|service|tlsclient|certs|tlstest)\\.([A-Z]\\w*)(?:\\.([A-Z]\\w*))?[`({]")

// What the pages name of the packages is there.
func TestTheGoNamesOfThePagesExist(t *testing.T) {
	folders := map[string]string{"service": "tlsserver/service", "tlstest": "tlsserver/tlstest"}
	known := make(map[string][]string)
	found := 0
	for _, p := range pages(t) {
		for _, m := range goNames.FindAllStringSubmatch(p.text, -1) {
			folder, nested := folders[m[1]]
			if !nested {
				folder = m[1]
			}
			if known[folder] == nil {
				known[folder] = exported(t, filepath.Join("../..", folder))
			}
			found++
			if name := strings.TrimSuffix(m[2]+"."+m[3], "."); !slices.Contains(known[folder], name) {
				t.Errorf("%s.md: package %s has no %s", p.name, folder, name)
			}
		}
	}
	if found < 40 {
		t.Errorf("the pages name %d things of the packages: too few to be all", found)
	}
}

// exported are the names of a package: functions, types, constants, fields and methods.
func exported(t *testing.T, folder string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(folder, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, path := range paths {
		parsed, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range parsed.Decls {
			names = append(names, namesOf(d)...)
		}
	}
	return names
}

func namesOf(d ast.Decl) []string {
	var names []string
	switch d := d.(type) {
	case *ast.FuncDecl:
		name := d.Name.Name
		if d.Recv != nil {
			receiver := d.Recv.List[0].Type
			if pointer, ok := receiver.(*ast.StarExpr); ok {
				receiver = pointer.X
			}
			if base, ok := receiver.(*ast.Ident); ok {
				name = base.Name + "." + name
			}
		}
		names = append(names, name)
	case *ast.GenDecl:
		for _, s := range d.Specs {
			switch s := s.(type) {
			case *ast.ValueSpec:
				for _, n := range s.Names {
					names = append(names, n.Name)
				}
			case *ast.TypeSpec:
				names = append(names, s.Name.Name)
				names = append(names, membersOf(s)...)
			}
		}
	}
	return names
}

func membersOf(s *ast.TypeSpec) []string {
	var fields *ast.FieldList
	switch typ := s.Type.(type) {
	case *ast.StructType:
		fields = typ.Fields
	case *ast.InterfaceType:
		fields = typ.Methods
	default:
		return nil
	}
	var names []string
	for _, f := range fields.List {
		for _, n := range f.Names {
			names = append(names, s.Name.Name+"."+n.Name)
		}
	}
	return names
}
