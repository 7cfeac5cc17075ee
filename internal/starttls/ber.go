package starttls

import (
	"errors"
	"io"
)

// BER as LDAP restricts it (RFC 4511, 5.1): definite lengths, tags of one byte.
// encoding/asn1 reads DER only, and some clients write lengths in four bytes.

// maxMessage bounds an LDAP message before TLS: all it has to hold is an OID.
const maxMessage = 4 << 10

var errBER = errors.New("it is no LDAP message (BER)")

// An element is a tag and what it holds.
type element struct {
	tag   byte
	value []byte
}

// readElement reads one element from a stream, and not a byte more.
func readElement(r io.Reader) (element, error) {
	var head [2]byte
	if _, err := io.ReadFull(r, head[:1]); err != nil {
		return element{}, err
	}
	if _, err := io.ReadFull(r, head[1:]); err != nil {
		return element{}, cut(err)
	}
	extra := make([]byte, lengthOctets(head[1]))
	if len(extra) > 4 {
		return element{}, errBER
	}
	if _, err := io.ReadFull(r, extra); err != nil {
		return element{}, cut(err)
	}
	length, err := berLength(head[1], extra)
	if err != nil {
		return element{}, err
	}
	value := make([]byte, length)
	if _, err := io.ReadFull(r, value); err != nil {
		return element{}, cut(err)
	}
	return element{head[0], value}, nil
}

// lengthOctets is how many bytes follow the first one of a length.
func lengthOctets(first byte) int {
	if first < 0x80 {
		return 0
	}
	return int(first & 0x7f)
}

func berLength(first byte, extra []byte) (int, error) {
	if first == 0x80 { // indefinite
		return 0, errBER
	}
	length := uint32(first) // an int may have no room for four bytes
	if first > 0x80 {
		length = 0
	}
	for _, b := range extra {
		length = length<<8 | uint32(b)
	}
	if length > maxMessage {
		return 0, errBER
	}
	return int(length), nil
}

// next takes the first element off b.
func next(b []byte) (element, []byte, error) {
	if len(b) < 2 || lengthOctets(b[1]) > min(4, len(b)-2) {
		return element{}, nil, errBER
	}
	start := 2 + lengthOctets(b[1])
	length, err := berLength(b[1], b[2:start])
	if err != nil || length > len(b)-start {
		return element{}, nil, errBER
	}
	return element{b[0], b[start : start+length]}, b[start+length:], nil
}

// encode writes an element of less than 64 KiB.
func encode(tag byte, parts ...[]byte) []byte {
	var value []byte
	for _, p := range parts {
		value = append(value, p...)
	}
	switch n := len(value); {
	case n < 0x80:
		return append([]byte{tag, byte(n)}, value...)
	default:
		return append([]byte{tag, 0x82, byte(n >> 8), byte(n)}, value...)
	}
}
