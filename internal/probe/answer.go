package probe

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"golang.org/x/crypto/cryptobyte"

	"tcps/internal/reason"
)

// An answer is what a server says to a hello: a ServerHello, a HelloRetryRequest,
// or an alert.
type answer struct {
	alert   uint8 // with refused
	refused bool

	version uint16
	suite   uint16
	group   uint16 // 0: it is not said

	secureRenegotiation bool // RFC 5746
	extendedMaster      bool // RFC 7627
}

// What a server may send before its answer is whole: a ServerHello has a few
// hundred bytes, and the certificate may follow in the same record.
const (
	maxRecord   = 1<<14 + 256
	maxRecords  = 8
	maxHello    = 1 << 14
	maxWarnings = 4
)

// retryRandom marks a HelloRetryRequest (RFC 8446, 4.1.3).
var retryRandom = []byte{
	0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91,
	0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
}

// readAnswer reads records until the answer is whole, and no further than its
// last one. io.EOF is a server that closes the connection without a word.
func readAnswer(r io.Reader) (*answer, error) {
	var message []byte
	warnings := 0
	for range maxRecords {
		kind, payload, err := readRecord(r)
		if err != nil {
			if err == io.EOF && len(message) > 0 {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
		switch kind {
		case recordAlert:
			if len(payload) != 2 {
				return nil, malformed("an alert of %d bytes", len(payload))
			}
			if payload[0] == 1 && payload[1] != 0 && warnings < maxWarnings { // a warning: the name is unknown, for instance
				warnings++
				continue
			}
			return &answer{refused: true, alert: payload[1]}, nil
		case recordHandshake:
			message = append(message, payload...)
			if a, whole, err := takeAnswer(message); whole || err != nil {
				return a, err
			}
		default:
			return nil, malformed("a record of the kind %d where a ServerHello should come", kind)
		}
	}
	return nil, malformed("no ServerHello in %d records", maxRecords)
}

func readRecord(r io.Reader) (kind uint8, payload []byte, err error) {
	var head [5]byte
	if n, err := io.ReadFull(r, head[:]); err != nil {
		if n > 0 && !looksLikeTLS(head[:n]) {
			return 0, nil, notTLS(head[:n])
		}
		return 0, nil, err
	}
	if !looksLikeTLS(head[:]) {
		return 0, nil, notTLS(head[:])
	}
	length := int(head[3])<<8 | int(head[4])
	if length > maxRecord {
		return 0, nil, malformed("a record of %d bytes", length)
	}
	payload = make([]byte, length)
	if _, err := io.ReadFull(r, payload); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return 0, nil, err
	}
	return head[0], payload, nil
}

func looksLikeTLS(head []byte) bool {
	return head[0] >= 20 && head[0] <= 24 && (len(head) < 2 || head[1] == 3)
}

func notTLS(head []byte) error {
	return &reason.Error{Reason: reason.NotTLS, Err: fmt.Errorf("its answer %q does not look like TLS", head)}
}

func malformed(format string, args ...any) error {
	return &reason.Error{Reason: reason.Malformed, Err: fmt.Errorf("it answers with "+format, args...)}
}

// takeAnswer parses the first handshake message, once it is whole.
func takeAnswer(message []byte) (a *answer, whole bool, err error) {
	s := cryptobyte.String(message)
	var kind uint8
	var length uint32
	if !s.ReadUint8(&kind) {
		return nil, false, nil
	}
	if kind != typeServerHello {
		return nil, false, malformed("a handshake message of the type %d where a ServerHello should come", kind)
	}
	if !s.ReadUint24(&length) {
		return nil, false, nil
	}
	if length > maxHello {
		return nil, false, malformed("a ServerHello of %d bytes", length)
	}
	if len(s) < int(length) {
		return nil, false, nil
	}
	a, err = parseServerHello(s[:length])
	return a, err == nil, err
}

var errServerHello = errors.New("it answers with a ServerHello that is malformed")

// parseServerHello reads what RFC 8446, 4.1.3 and RFC 5246, 7.4.1.3 have.
func parseServerHello(s cryptobyte.String) (*answer, error) {
	a := &answer{}
	var random, session cryptobyte.String
	var compression uint8
	if !s.ReadUint16(&a.version) || !s.ReadBytes((*[]byte)(&random), 32) || !s.ReadUint8LengthPrefixed(&session) || len(session) > 32 ||
		!s.ReadUint16(&a.suite) || !s.ReadUint8(&compression) {
		return nil, &reason.Error{Reason: reason.Malformed, Err: errServerHello}
	}
	var extensions cryptobyte.String
	if !s.Empty() && (!s.ReadUint16LengthPrefixed(&extensions) || !s.Empty()) {
		return nil, &reason.Error{Reason: reason.Malformed, Err: errServerHello}
	}
	retry := bytes.Equal(random, retryRandom)
	for !extensions.Empty() {
		var number uint16
		var content cryptobyte.String
		if !extensions.ReadUint16(&number) || !extensions.ReadUint16LengthPrefixed(&content) || !a.take(number, content, retry) {
			return nil, &reason.Error{Reason: reason.Malformed, Err: errServerHello}
		}
	}
	return a, nil
}

func (a *answer) take(number uint16, content cryptobyte.String, retry bool) bool {
	switch number {
	case extSupportedVersions:
		return content.ReadUint16(&a.version) && content.Empty()
	case extKeyShare:
		var key cryptobyte.String
		return content.ReadUint16(&a.group) && (retry || content.ReadUint16LengthPrefixed(&key)) && content.Empty()
	case extExtendedMaster:
		a.extendedMaster = true
	case extRenegotiation:
		a.secureRenegotiation = true
	}
	return true
}
