package starttls

import (
	"io"
)

// acceptSMTP is RFC 3207.
func acceptSMTP(s *Server, c io.ReadWriter) (Accepted, error) {
	name := literal(s.Local)
	return converse(c, "220 "+name+" ESMTP\r\n", func(line string) (string, bool, error) {
		switch verb, rest := command(line); verb {
		case "EHLO":
			return "250-" + name + "\r\n250 STARTTLS\r\n", false, nil
		case "HELO":
			return "250 " + name + "\r\n", false, nil
		case "NOOP", "RSET":
			return "250 2.0.0 OK\r\n", false, nil
		case "QUIT":
			return "221 2.0.0 Bye\r\n", false, io.EOF
		case "STARTTLS":
			if rest != "" {
				return "501 5.5.4 STARTTLS takes no parameters\r\n", false, nil
			}
			return "220 2.0.0 Ready to start TLS\r\n", true, nil
		default:
			return "530 5.7.0 Must issue a STARTTLS command first\r\n", false, nil
		}
	})
}

func requestSMTP(c *Client, rw io.ReadWriter) ([]byte, error) { return requestMail(c, rw, "EHLO") }

// requestLMTP is SMTP with another hello (RFC 2033, 4.1).
func requestLMTP(c *Client, rw io.ReadWriter) ([]byte, error) { return requestMail(c, rw, "LHLO") }

func requestMail(c *Client, rw io.ReadWriter, hello string) ([]byte, error) {
	greeting, err := readSMTPGreeting(rw)
	if err != nil {
		return nil, err
	}
	code, lines, err := askMail(rw, hello+" "+literal(c.Local))
	if err != nil {
		return nil, err
	}
	if code != "250" || !offersSTARTTLS(lines) {
		return nil, notTLS("the server does not offer STARTTLS: %q", lines)
	}
	code, lines, err = askMail(rw, "STARTTLS")
	if err != nil {
		return nil, err
	}
	if code != "220" {
		return nil, notTLS("the server answers STARTTLS with %q", lines)
	}
	return greeting, nil
}

func askMail(rw io.ReadWriter, command string) (code string, lines []string, err error) {
	if err := write(rw, command+"\r\n"); err != nil {
		return "", nil, err
	}
	code, lines, err = readSMTPReply(rw)
	return code, lines, cut(err)
}

func offersSTARTTLS(lines []string) bool {
	for _, line := range lines[1:] {
		if verb, _ := command(line[4:]); verb == "STARTTLS" {
			return true
		}
	}
	return false
}

// readSMTPGreeting reads the first reply of a server, whole.
func readSMTPGreeting(r io.Reader) ([]byte, error) {
	code, lines, err := readSMTPReply(r)
	if err != nil {
		return nil, cut(err)
	}
	words := wordsOf(lines)
	switch {
	case code == "220":
		return words, nil
	case code[0] == '4', code[0] == '5':
		return nil, &Refusal{Words: words}
	default:
		return nil, notTLS("the server greets with %q: want 220", lines)
	}
}

// readSMTPReply reads the lines of a reply (RFC 5321, 4.2.1): each has at least
// its code and a character after it.
func readSMTPReply(r io.Reader) (code string, lines []string, err error) {
	for range maxReply {
		line, err := readLine(r)
		if err != nil {
			return "", nil, err
		}
		if len(line) == 3 {
			line += " "
		}
		if !beginsReply(line) || line[0] == '1' || code != "" && line[:3] != code {
			return "", nil, notTLS("the server says %q: want a reply of SMTP", line)
		}
		code, lines = line[:3], append(lines, line)
		if line[3] == ' ' {
			return code, lines, nil
		}
	}
	return "", nil, errLongReply
}

func introduceSMTP(i *Introduction, t Target) (io.Reader, io.Reader, error) {
	return i.passGreeting(t, readSMTPGreeting)
}
