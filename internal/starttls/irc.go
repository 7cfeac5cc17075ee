package starttls

import (
	"io"
	"strings"
)

// requestIRC is the tls extension of IRCv3: STARTTLS as the first command, which
// 670 agrees to and 691 refuses. Whether the server lists the capability is not
// asked: CAP would hold registration up, and it is the caller who registers. So
// servers that pass over what they do not know are found out by a timeout. What
// servers say meanwhile, of looking up our name for instance, goes past.
func requestIRC(_ *Client, rw io.ReadWriter) ([]byte, error) {
	if err := write(rw, "STARTTLS\r\n"); err != nil {
		return nil, err
	}
	for range maxReply {
		line, err := readLine(rw)
		if err != nil {
			return nil, cut(err)
		}
		switch verb := ircCommand(line); verb {
		case "670":
			return nil, nil
		case "691", "421", "451": // no TLS, no such command, not before registration
			return nil, notTLS("the server answers STARTTLS with %q", line)
		case "ERROR":
			return nil, &Refusal{Words: []byte(line + "\r\n")}
		case "":
			return nil, notTLS("the server says %q: want a message of IRC", line)
		}
	}
	return nil, errLongReply
}

// ircCommand is the command of a message, after tags and prefix; empty: it is no
// message (RFC 2812, 2.3.1).
func ircCommand(line string) string {
	for _, mark := range []string{"@", ":"} {
		if strings.HasPrefix(line, mark) {
			_, rest, _ := strings.Cut(line, " ")
			line = strings.TrimLeft(rest, " ")
		}
	}
	verb, _ := command(line)
	letters := strings.Trim(verb, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == ""
	numeric := len(verb) == 3 && strings.Trim(verb, "0123456789") == ""
	if !letters && !numeric {
		return ""
	}
	return verb
}
