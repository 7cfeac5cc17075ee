package starttls

import (
	"io"
	"strings"
)

// requestNNTP is RFC 4642, 2.
func requestNNTP(_ *Client, rw io.ReadWriter) ([]byte, error) {
	greeting, err := readNNTPGreeting(rw)
	if err != nil {
		return nil, err
	}
	answer, err := askNNTP(rw, "CAPABILITIES")
	if err != nil {
		return nil, err
	}
	if !strings.HasPrefix(answer, "101") {
		return nil, notTLS("the server does not offer STARTTLS, and answers CAPABILITIES with %q", answer)
	}
	offers, err := readNNTPCapabilities(rw)
	if err != nil {
		return nil, err
	}
	if !offers {
		return nil, notTLS("the server does not offer STARTTLS")
	}
	answer, err = askNNTP(rw, "STARTTLS")
	if err != nil {
		return nil, err
	}
	if !strings.HasPrefix(answer, "382") {
		return nil, notTLS("the server answers STARTTLS with %q", answer)
	}
	return greeting, nil
}

func askNNTP(rw io.ReadWriter, command string) (answer string, err error) {
	if err := write(rw, command+"\r\n"); err != nil {
		return "", err
	}
	return readNNTPLine(rw)
}

// readNNTPLine reads the first line of a response (RFC 3977, 3.2).
func readNNTPLine(r io.Reader) (string, error) {
	line, err := readLine(r)
	if err != nil {
		return "", cut(err)
	}
	if !beginsReply(line) || len(line) > 3 && line[3] != ' ' {
		return "", notTLS("the server says %q: want a response of NNTP", line)
	}
	return line, nil
}

// readNNTPCapabilities reads what follows a 101, to the line that is a dot (RFC 3977, 5.2).
func readNNTPCapabilities(r io.Reader) (offersTLS bool, err error) {
	for range maxReply {
		line, err := readLine(r)
		if err != nil {
			return false, cut(err)
		}
		if line == "." {
			return offersTLS, nil
		}
		label, _ := command(line)
		offersTLS = offersTLS || label == "STARTTLS"
	}
	return false, errLongReply
}

func readNNTPGreeting(r io.Reader) ([]byte, error) {
	line, err := readNNTPLine(r)
	if err != nil {
		return nil, err
	}
	words := []byte(line + "\r\n")
	switch {
	case strings.HasPrefix(line, "200"), strings.HasPrefix(line, "201"):
		return words, nil
	case line[0] == '4', line[0] == '5':
		return nil, &Refusal{Words: words}
	default:
		return nil, notTLS("the server greets with %q: want 200 or 201", line)
	}
}

func introduceNNTP(i *Introduction, t Target) (io.Reader, io.Reader, error) {
	return i.passGreeting(t, readNNTPGreeting)
}
