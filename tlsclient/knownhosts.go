package tlsclient

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"tcps/certs"
	"tcps/internal/pin"
)

// A KnownHosts is a file of the keys that servers have shown: trust on first use.
// It is text. A line that is neither empty nor begins with # is
//
//	ENDPOINT NAME sha256:PIN TIME
//
// with the server's host:port, or the scheme and path of a Unix socket; the name
// that its certificate was asked for by, or - for none; the SHA-256 of its public
// key (SubjectPublicKeyInfo) in base64, as "tcps certs show" prints it; and when
// it was first seen (RFC 3339). An endpoint may have several lines: each key of
// them is taken. Lines that mean nothing are an error, and so is a file that
// others can write to.
//
// Its methods may be called concurrently, also on several KnownHosts of one
// file, and by several processes: no line is lost.
type KnownHosts struct{ path string }

// A KnownHost is one line of a KnownHosts.
type KnownHost struct {
	Endpoint  string // host:port, or the URL of a Unix socket
	Name      string // empty: none
	Pin       [sha256.Size]byte
	FirstSeen time.Time // without fractions of a second
	Line      int       // from 1
}

// maxKnownHosts bounds a file, in bytes.
const maxKnownHosts = 16 << 20

// NewKnownHosts is the file at a path. One that is missing knows nobody; Add
// makes it (0600), and the folders above it (0700).
func NewKnownHosts(path string) *KnownHosts { return &KnownHosts{path: path} }

// Path is that of the file.
func (k *KnownHosts) Path() string { return k.path }

// Find returns the lines of an endpoint and a name, in the order of the file. The
// whole file is checked.
func (k *KnownHosts) Find(endpoint, name string) ([]KnownHost, error) {
	data, err := k.read()
	if err != nil {
		return nil, err
	}
	return k.find(data, endpoint, name)
}

// Add remembers a key, with the present time, on the disk when it returns; ctx
// bounds the wait for others who write. Of a key that is there already it adds no
// second line. Where the endpoint and name have other keys by now it is a
// *KeyChangedError: to take one more is for a human to decide, who can write a
// line.
func (k *KnownHosts) Add(ctx context.Context, endpoint, name string, key [sha256.Size]byte) (KnownHost, error) {
	h := KnownHost{Endpoint: endpoint, Name: name, Pin: key, FirstSeen: time.Now().UTC().Truncate(time.Second)}
	if again, err := parseKnownHost(strings.Fields(h.String())); err != nil || again != h {
		return h, fmt.Errorf("add to known hosts: %q and %q do not fit into a line", endpoint, name)
	}
	path := k.path
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real // what it leads to is replaced, not the link
	}
	unlock, err := certs.LockFile(ctx, path)
	if err != nil {
		return h, err
	}
	defer unlock()
	data, err := k.read()
	if err != nil {
		return h, err
	}
	known, err := k.find(data, endpoint, name)
	if err != nil {
		return h, err
	}
	if there, err := k.judge(known, key); len(known) > 0 {
		return there, err
	}
	if info, err := os.Stat(path); err == nil && info.Mode().Perm()&0o200 == 0 {
		return h, fmt.Errorf("add to known hosts %q: it is read-only (mode %04o): make it writable, or put the line there yourself: %s", k.path, info.Mode().Perm(), h)
	}
	switch {
	case len(data) == 0:
		data = []byte("# Keys of servers, by tcps connect --tofu: ENDPOINT NAME sha256:PIN TIME\n")
	case !bytes.HasSuffix(data, []byte("\n")):
		data = append(data, '\n')
	}
	h.Line = bytes.Count(data, []byte("\n")) + 1
	return h, certs.WriteSecretFile(path, append(data, h.String()+"\n"...))
}

// judge returns the one of a server's lines that has a key. That there are only
// others is an error, no line at all is none.
func (k *KnownHosts) judge(known []KnownHost, key [sha256.Size]byte) (KnownHost, error) {
	for _, h := range known {
		if h.Pin == key {
			return h, nil
		}
	}
	if len(known) > 0 {
		return KnownHost{}, &KeyChangedError{Path: k.path, Known: known, Got: key}
	}
	return KnownHost{}, nil
}

// read returns nothing where there is no file. What is no file cannot be replaced
// either, and opening a pipe would wait for its other end.
func (k *KnownHosts) read() ([]byte, error) {
	if info, err := os.Stat(k.path); err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("read known hosts %q: it is no regular file", k.path)
	}
	f, err := os.Open(k.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var data []byte
	if err == nil {
		defer f.Close()
		data, err = readKnownHosts(f)
	}
	if path, ok := errors.AsType[*fs.PathError](err); ok {
		err = path.Err // the path is named below
	}
	if err != nil {
		return nil, fmt.Errorf("read known hosts %q: %w", k.path, err)
	}
	return data, nil
}

func readKnownHosts(f *os.File) ([]byte, error) {
	if err := checkUnwritable(f); err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, maxKnownHosts+1))
	if err == nil && len(data) > maxKnownHosts {
		err = fmt.Errorf("it is longer than %d MiB", maxKnownHosts>>20)
	}
	return data, err
}

// checkUnwritable refuses a file in which others can put keys of theirs.
func checkUnwritable(f *os.File) error {
	info, err := f.Stat()
	if err == nil && runtime.GOOS != "windows" && info.Mode().Perm()&0o022 != 0 {
		err = fmt.Errorf("others can write to it (mode %04o): whose keys are in it cannot be known", info.Mode().Perm())
	}
	if err == nil {
		err = checkOwner(info)
	}
	return err
}

func (k *KnownHosts) find(data []byte, endpoint, name string) ([]KnownHost, error) {
	var found []KnownHost
	lines := bufio.NewScanner(bytes.NewReader(data))
	lines.Buffer(nil, maxKnownHosts+1)
	for number := 1; lines.Scan(); number++ {
		fields := strings.Fields(lines.Text())
		if len(fields) == 0 || fields[0][0] == '#' {
			continue
		}
		h, err := parseKnownHost(fields)
		if err != nil {
			return nil, fmt.Errorf("read known hosts %q: line %d: %w", k.path, number, err)
		}
		h.Line = number
		if h.Endpoint == endpoint && h.Name == name {
			found = append(found, h)
		}
	}
	return found, lines.Err()
}

func parseKnownHost(fields []string) (KnownHost, error) {
	if len(fields) != 4 {
		return KnownHost{}, fmt.Errorf("want ENDPOINT NAME sha256:PIN TIME, and there are %d words", len(fields))
	}
	h := KnownHost{Endpoint: fields[0], Name: fields[1]}
	if h.Name == "-" {
		h.Name = ""
	}
	var err error
	if h.Pin, err = pin.Parse(fields[2]); err != nil {
		return h, fmt.Errorf("%q is %w", fields[2], err)
	}
	if h.FirstSeen, err = time.Parse(time.RFC3339, fields[3]); err != nil {
		return h, fmt.Errorf("%q is not a time like 2026-01-31T12:00:00Z", fields[3])
	}
	return h, nil
}

// String is the line, without its end.
func (h KnownHost) String() string {
	name := h.Name
	if name == "" {
		name = "-"
	}
	return fmt.Sprintf("%s %s sha256:%s %s", h.Endpoint, name, pin.String(h.Pin), h.FirstSeen.UTC().Format(time.RFC3339))
}

// A KeyChangedError is met where a server shows another key than the known ones.
// Its Reason is that of a pin.
type KeyChangedError struct {
	Path  string      // of the KnownHosts
	Known []KnownHost // the lines of the server
	Got   [sha256.Size]byte
}

func (e *KeyChangedError) Error() string {
	var known []string
	for _, h := range e.Known {
		known = append(known, fmt.Sprintf("%s, first seen %s (%s:%d)", pin.String(h.Pin), h.FirstSeen.Format("2006-01-02 15:04"), e.Path, h.Line))
	}
	return fmt.Sprintf("the server's key HAS CHANGED: it has the pin %s, and the known one is %s", pin.String(e.Got), strings.Join(known, "; or "))
}
