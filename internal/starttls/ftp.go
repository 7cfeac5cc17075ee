package starttls

import (
	"errors"
	"io"
)

// requestFTP is RFC 4217, 4. Only the control connection is meant: PBSZ and PROT,
// which are about the others, are the caller's to say in TLS.
func requestFTP(_ *Client, rw io.ReadWriter) ([]byte, error) {
	greeting, err := readFTPGreeting(rw)
	if err != nil {
		return nil, err
	}
	if err := write(rw, "AUTH TLS\r\n"); err != nil {
		return nil, err
	}
	code, lines, err := readFTPReply(rw)
	if err != nil {
		return nil, cut(err)
	}
	if code != "234" {
		return nil, notTLS("the server answers AUTH TLS with %q", lines)
	}
	return greeting, nil
}

// readFTPGreeting: 120 is a server that will greet us later (RFC 959, 5.4).
func readFTPGreeting(r io.Reader) ([]byte, error) {
	for range maxCommands {
		code, lines, err := readFTPReply(r)
		if err != nil {
			return nil, cut(err)
		}
		words := wordsOf(lines)
		switch {
		case code == "120":
		case code == "220":
			return words, nil
		case code[0] == '4', code[0] == '5':
			return nil, &Refusal{Words: words}
		default:
			return nil, notTLS("the server greets with %q: want 220", lines)
		}
	}
	return nil, notTLS("the server has greeted us %d times, and is not ready", maxCommands)
}

// readFTPReply reads the lines of a reply (RFC 959, 4.2): what begins with a code
// and a hyphen ends with the line that has the code and a space, and between
// them may be anything.
func readFTPReply(r io.Reader) (code string, lines []string, err error) {
	for range maxReply {
		line, err := readLine(r)
		if err != nil {
			return "", nil, err
		}
		begins := beginsReply(line)
		if lines == nil {
			if !begins {
				return "", nil, notTLS("the server says %q: want a reply of FTP", line)
			}
			code = line[:3]
		}
		lines = append(lines, line)
		if begins && line[:3] == code && (len(line) == 3 || line[3] == ' ') {
			return code, lines, nil
		}
	}
	return "", nil, errLongReply
}

var errFTPTunnel = errors.New("ftp sends files over connections of their own, which would go past the tunnel, without TLS")

func introduceFTP(*Introduction, Target) (io.Reader, io.Reader, error) { return nil, nil, errFTPTunnel }
