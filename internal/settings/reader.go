package settings

import (
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// A reader makes Values of the nodes of one file.
type reader struct {
	name    string
	anchors map[string]*Value // by their names; nil while their own value is read
}

func (r *reader) at(n ast.Node) Position {
	if t := n.GetToken(); t != nil && t.Position != nil {
		return Position{r.name, t.Position.Line, t.Position.Column}
	}
	return Position{r.name, 1, 1}
}

func (r *reader) read(n ast.Node, depth int) (*Value, error) {
	if depth > maxDepth {
		return nil, r.at(n).tooDeep()
	}
	switch n := n.(type) {
	case *ast.MappingNode:
		return r.readMapping(n, n.Values, depth)
	case *ast.MappingValueNode:
		return r.readMapping(n, []*ast.MappingValueNode{n}, depth)
	case *ast.SequenceNode:
		return r.readList(n, depth)
	case *ast.AnchorNode:
		name := n.Name.GetToken().Value
		r.anchors[name] = nil
		v, err := r.read(n.Value, depth+1)
		r.anchors[name] = v
		return v, err
	case *ast.AliasNode:
		return r.alias(n)
	case *ast.LiteralNode:
		return &Value{At: r.at(n), Text: n.Value.Value}, nil
	case *ast.StringNode:
		if err := r.checkText(n, n.Value); err != nil {
			return nil, err
		}
		return &Value{At: r.at(n), Text: n.Value}, nil
	case *ast.NullNode:
		return nil, r.at(n).Errorf("the value is left out")
	case *ast.BoolNode, *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return &Value{At: r.at(n), Text: n.GetToken().Value}, nil // as it is written
	default:
		return nil, r.at(n).Errorf("%s is not understood here", n.Type())
	}
}

func (r *reader) readList(n *ast.SequenceNode, depth int) (*Value, error) {
	v := &Value{At: r.at(n), Kind: List}
	for _, item := range n.Values {
		read, err := r.read(item, depth+1)
		if err != nil {
			return nil, err
		}
		v.List = append(v.List, read)
	}
	return v, nil
}

// checkText refuses what only an escape in quotes can write.
func (r *reader) checkText(n ast.Node, text string) error {
	if strings.ContainsRune(text, 0) {
		return r.at(n).Errorf("a zero byte")
	}
	return nil
}

// alias is the value that an anchor has named before.
func (r *reader) alias(n *ast.AliasNode) (*Value, error) {
	name := n.Value.GetToken().Value
	v := r.anchors[name]
	if v == nil {
		return nil, r.at(n).Errorf("no anchor &%s stands before its alias", name)
	}
	return v, nil
}

func (r *reader) readMapping(n ast.Node, fields []*ast.MappingValueNode, depth int) (*Value, error) {
	v := &Value{At: r.at(n), Kind: Mapping}
	if len(fields) > 0 { // the node's own token is a colon
		v.At = r.at(fields[0].Key)
	}
	var merged []Field
	own := make(map[string]bool)
	for _, field := range fields {
		value, err := r.read(field.Value, depth+1)
		if err != nil {
			return nil, err
		}
		if _, ok := field.Key.(*ast.MergeKeyNode); ok {
			fields, err := fieldsToMerge(value)
			if err != nil {
				return nil, err
			}
			merged = append(merged, fields...)
			continue
		}
		key := field.Key.GetToken()
		if err := r.checkText(field.Key, key.Value); err != nil {
			return nil, err
		}
		if own[key.Value] {
			return nil, r.at(field.Key).Errorf("the key %q is written twice", key.Value)
		}
		own[key.Value] = true
		v.Fields = append(v.Fields, Field{key.Value, r.at(field.Key), value})
	}
	for _, field := range merged { // what the mapping says itself goes first
		if !own[field.Key] {
			own[field.Key] = true
			v.Fields = append(v.Fields, field)
		}
	}
	return v, nil
}

// fieldsToMerge are those of a mapping, or of several, of which the first goes
// before the others.
func fieldsToMerge(v *Value) ([]Field, error) {
	mappings := []*Value{v}
	if v.Kind == List {
		mappings = v.List
	}
	var fields []Field
	for _, one := range mappings {
		if one.Kind != Mapping {
			return nil, one.At.Errorf("<< wants a mapping, and this is %s", one.Kind)
		}
		fields = append(fields, one.Fields...)
	}
	return fields, nil
}
