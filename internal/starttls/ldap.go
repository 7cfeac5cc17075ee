package starttls

import (
	"fmt"
	"io"
)

// startTLSOID is the request's name (RFC 4511, 4.14.1).
const startTLSOID = "1.3.6.1.4.1.1466.20037"

// Tags of LDAP (RFC 4511, appendix B).
const (
	berInteger    = 0x02
	berString     = 0x04
	berEnumerated = 0x0a
	berSequence   = 0x30

	ldapControls         = 0xa0
	ldapUnbindRequest    = 0x42
	ldapAbandonRequest   = 0x50
	ldapExtendedRequest  = 0x77
	ldapExtendedResponse = 0x78
	ldapRequestName      = 0x80
	ldapResponseName     = 0x8a
)

// ldapResponses are the answers to requests: bind, search (done), modify, add,
// delete, rename, compare, extended.
var ldapResponses = map[byte]byte{
	0x60: 0x61, 0x63: 0x65, 0x66: 0x67, 0x68: 0x69, 0x4a: 0x6b, 0x6c: 0x6d, 0x6e: 0x6f,
	ldapExtendedRequest: ldapExtendedResponse,
}

// Result codes (RFC 4511, 4.1.9).
const (
	ldapSuccess                 = 0
	ldapProtocolError           = 2
	ldapConfidentialityRequired = 13
)

// An ldapMessage is one, without its controls.
type ldapMessage struct {
	id []byte // as the other side wrote the number
	op element
}

func readLDAP(r io.Reader) (ldapMessage, error) {
	whole, err := readElement(r)
	if err != nil {
		return ldapMessage{}, err
	}
	id, rest, err := next(whole.value)
	if err != nil || whole.tag != berSequence || id.tag != berInteger || len(id.value) < 1 || len(id.value) > 4 {
		return ldapMessage{}, errBER
	}
	op, rest, err := next(rest)
	if err != nil {
		return ldapMessage{}, err
	}
	if len(rest) > 0 {
		controls, rest, err := next(rest)
		if err != nil || controls.tag != ldapControls || len(rest) > 0 {
			return ldapMessage{}, errBER
		}
	}
	return ldapMessage{id.value, op}, nil
}

// acceptLDAP is RFC 4511, 4.14.
func acceptLDAP(_ *Server, c io.ReadWriter) (Accepted, error) {
	for range maxCommands {
		m, err := readLDAP(c)
		if err == io.EOF {
			return Accepted{}, err
		}
		if err != nil {
			return Accepted{}, malformed(err)
		}
		if m.op.tag == ldapUnbindRequest {
			return Accepted{}, io.EOF
		}
		if m.op.tag == ldapAbandonRequest {
			continue // never answered
		}
		if _, known := ldapResponses[m.op.tag]; !known {
			return Accepted{}, notTLS("the client sends an LDAP message of the kind %#x", m.op.tag)
		}
		starts, code := asksForTLS(m.op)
		if _, err := c.Write(m.answer(code)); err != nil || starts {
			return Accepted{}, err
		}
	}
	return Accepted{}, notTLS("the client has sent %d messages and still not asked for TLS", maxCommands)
}

// malformed gives what is no LDAP its reason.
func malformed(err error) error {
	if err == errBER {
		return notTLS("the peer sends something else: %w", err)
	}
	return err
}

// asksForTLS finds the result of a request; only an ExtendedRequest of the right
// name and without a value has success.
func asksForTLS(op element) (bool, byte) {
	if op.tag != ldapExtendedRequest {
		return false, ldapConfidentialityRequired
	}
	name, rest, err := next(op.value)
	switch {
	case err != nil || name.tag != ldapRequestName:
		return false, ldapProtocolError
	case string(name.value) != startTLSOID:
		return false, ldapConfidentialityRequired
	case len(rest) > 0:
		return false, ldapProtocolError
	}
	return true, ldapSuccess
}

// answer is the response to m.
func (m ldapMessage) answer(code byte) []byte {
	text := ""
	if code != ldapSuccess {
		text = "TLS is required: StartTLS first"
	}
	result := [][]byte{{berEnumerated, 1, code}, {berString, 0}, encode(berString, []byte(text))}
	if m.op.tag == ldapExtendedRequest && code == ldapSuccess {
		result = append(result, encode(ldapResponseName, []byte(startTLSOID)))
	}
	return encode(berSequence, encode(berInteger, m.id), encode(ldapResponses[m.op.tag], result...))
}

func requestLDAP(_ *Client, rw io.ReadWriter) ([]byte, error) {
	request := encode(berSequence, []byte{berInteger, 1, 1},
		encode(ldapExtendedRequest, encode(ldapRequestName, []byte(startTLSOID))))
	if _, err := rw.Write(request); err != nil {
		return nil, err
	}
	m, err := readLDAP(rw)
	if err != nil {
		return nil, malformed(cut(err))
	}
	if len(m.id) != 1 || m.id[0] != 1 || m.op.tag != ldapExtendedResponse {
		return nil, notTLS("the server answers StartTLS with a message of the kind %#x", m.op.tag)
	}
	code, rest, err := next(m.op.value)
	if err != nil || code.tag != berEnumerated || len(code.value) != 1 {
		return nil, malformed(errBER)
	}
	if code.value[0] != ldapSuccess {
		return nil, notTLS("the server does not start TLS: result %d%s", code.value[0], ldapText(rest))
	}
	return nil, nil
}

// ldapText is the diagnostic message of a result, after its code.
func ldapText(b []byte) string {
	_, rest, err := next(b) // the matched name
	if err != nil {
		return ""
	}
	text, _, err := next(rest)
	if err != nil || len(text.value) == 0 {
		return ""
	}
	return fmt.Sprintf(", %q", text.value)
}
