package starttls

import (
	"io"
	"net"
	"net/netip"
	"strings"
)

const (
	maxLine  = 1000 // bytes, with CRLF: RFC 5321, 4.5.3.1 and RFC 2449, 4 want 512, RFC 7162, 4 advises IMAP to go beyond
	maxReply = 100  // lines of one reply
)

// readLine reads a line, byte by byte: what comes after it is not ours. It
// returns it without its CRLF.
func readLine(r io.Reader) (string, error) {
	var line []byte
	var b [1]byte
	for len(line) < maxLine {
		if _, err := io.ReadFull(r, b[:]); err != nil {
			if len(line) > 0 {
				err = cut(err)
			}
			return "", err
		}
		line = append(line, b[0])
		if b[0] == '\n' {
			return strings.TrimSuffix(string(line[:len(line)-1]), "\r"), nil
		}
	}
	return "", notTLS("a line is longer than %d bytes: %.20q…", maxLine, line)
}

// A step answers one command: done means that TLS follows, io.EOF that the
// client has said good-bye.
type step func(line string) (answer string, done bool, err error)

// converse greets a client and answers its commands.
func converse(c io.ReadWriter, greeting string, answer step) (Accepted, error) {
	if err := write(c, greeting); err != nil {
		return Accepted{}, err
	}
	for range maxCommands {
		line, err := readLine(c)
		if err != nil {
			return Accepted{}, err
		}
		reply, done, ended := answer(line)
		if err := write(c, reply); err != nil {
			return Accepted{}, err
		}
		if done || ended != nil {
			return Accepted{}, ended
		}
	}
	return Accepted{}, notTLS("the client has sent %d commands and still not asked for TLS", maxCommands)
}

// command is the first word of a line in upper case, and what follows it.
func command(line string) (verb, rest string) {
	verb, rest, _ = strings.Cut(line, " ")
	return strings.ToUpper(verb), strings.TrimSpace(rest)
}

// wordsOf are lines as the server sent them.
func wordsOf(lines []string) []byte { return []byte(strings.Join(lines, "\r\n") + "\r\n") }

// beginsReply reports whether a line of SMTP, FTP or NNTP has a code of three
// digits, and after it the end, a space or a hyphen.
func beginsReply(line string) bool {
	return len(line) >= 3 && line[0] >= '1' && line[0] <= '5' && isDigit(line[1]) && isDigit(line[2]) &&
		(len(line) == 3 || line[3] == ' ' || line[3] == '-')
}

func isDigit(b byte) bool { return b >= '0' && b <= '9' }

// literal is an address as mail has it (RFC 5321, 4.1.3), or localhost.
func literal(a net.Addr) string {
	if a == nil {
		return "localhost"
	}
	at, err := netip.ParseAddrPort(a.String())
	switch ip := at.Addr().Unmap().WithZone(""); {
	case err != nil:
		return "localhost"
	case ip.Is6():
		return "[IPv6:" + ip.String() + "]"
	default:
		return "[" + ip.String() + "]"
	}
}

var errLongReply = notTLS("a reply has more than 100 lines")
