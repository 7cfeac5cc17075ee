package starttls

import (
	"fmt"
	"io"
	"strings"
)

const imapCapabilities = "CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED"

// acceptIMAP is RFC 3501, 6.2.1.
func acceptIMAP(_ *Server, c io.ReadWriter) (Accepted, error) {
	return converse(c, "* OK ["+imapCapabilities+"] Ready\r\n", answerIMAP)
}

func answerIMAP(line string) (string, bool, error) {
	tag, rest, _ := strings.Cut(line, " ")
	if !isIMAPTag(tag) {
		return "* BAD Want a tag and a command\r\n", false, nil
	}
	verb, rest := command(rest)
	switch {
	case verb == "ID": // RFC 2971
		return "* ID NIL\r\n" + tag + " OK Completed\r\n", false, nil
	case verb == "LOGIN", verb == "AUTHENTICATE":
		return tag + " NO [PRIVACYREQUIRED] TLS is required: STARTTLS first\r\n", false, nil
	case rest != "":
		return tag + " BAD TLS is required: STARTTLS first\r\n", false, nil
	}
	switch verb {
	case "STARTTLS":
		return tag + " OK Begin TLS negotiation now\r\n", true, nil
	case "CAPABILITY":
		return "* " + imapCapabilities + "\r\n" + tag + " OK Completed\r\n", false, nil
	case "NOOP":
		return tag + " OK Completed\r\n", false, nil
	case "LOGOUT":
		return "* BYE Logging out\r\n" + tag + " OK Completed\r\n", false, io.EOF
	default:
		return tag + " BAD TLS is required: STARTTLS first\r\n", false, nil
	}
}

// isIMAPTag: it comes back in our answer, so it must be one (RFC 3501, 9).
func isIMAPTag(tag string) bool {
	return tag != "" && len(tag) <= 64 && !strings.ContainsFunc(tag, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune(`(){%*"\+]`, r)
	})
}

func requestIMAP(_ *Client, rw io.ReadWriter) ([]byte, error) {
	greeting, err := readIMAPGreeting(rw)
	if err != nil {
		return nil, err
	}
	if err := write(rw, "t1 STARTTLS\r\n"); err != nil {
		return nil, err
	}
	for range maxReply {
		line, err := readLine(rw)
		if err != nil {
			return nil, cut(err)
		}
		if strings.HasPrefix(line, "* ") {
			continue
		}
		if verb, _ := command(strings.TrimPrefix(line, "t1 ")); !strings.HasPrefix(line, "t1 ") || verb != "OK" {
			return nil, notTLS("the server answers STARTTLS with %q", line)
		}
		return greeting, nil
	}
	return nil, errLongReply
}

// readIMAPGreeting reads a server's first line. What it says of its
// capabilities is left out: it holds in plain only, and a client that is told
// LOGINDISABLED would not log in.
func readIMAPGreeting(r io.Reader) ([]byte, error) {
	line, err := readLine(r)
	if err != nil {
		return nil, cut(err)
	}
	verb, rest := command(strings.TrimPrefix(line, "* "))
	switch {
	case !strings.HasPrefix(line, "* "):
		return nil, notTLS("the server greets with %q: want * OK", line)
	case verb == "BYE":
		return nil, &Refusal{Words: []byte(line + "\r\n")}
	case verb == "PREAUTH": // a tunnel's client would have to know it, and STARTTLS is too late (RFC 3501, 6.2.1)
		return nil, fmt.Errorf("the server takes us for authenticated already: %q", line)
	case verb != "OK":
		return nil, notTLS("the server greets with %q: want * OK", line)
	}
	if code, text, ok := strings.Cut(rest, "]"); ok && strings.HasPrefix(strings.ToUpper(code), "[CAPABILITY ") {
		rest = strings.TrimSpace(text)
	}
	if rest == "" {
		rest = "Ready"
	}
	return []byte("* OK " + rest + "\r\n"), nil
}

func introduceIMAP(i *Introduction, t Target) (io.Reader, io.Reader, error) {
	return i.passGreeting(t, readIMAPGreeting)
}
