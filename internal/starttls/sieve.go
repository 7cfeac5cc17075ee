package starttls

import (
	"io"
	"strconv"
	"strings"
)

// requestSieve is RFC 5804, 2.2. The greeting are the server's capabilities.
func requestSieve(_ *Client, rw io.ReadWriter) ([]byte, error) {
	status, greeting, err := readSieveResponse(rw)
	if err != nil {
		return nil, err
	}
	words := wordsOf(greeting)
	if status != "OK" {
		return nil, &Refusal{Words: words}
	}
	if !sieveOffersTLS(greeting) {
		return nil, notTLS("the server does not offer STARTTLS: %q", greeting)
	}
	if err := write(rw, "STARTTLS\r\n"); err != nil {
		return nil, err
	}
	status, lines, err := readSieveResponse(rw)
	if err != nil {
		return nil, err
	}
	if status != "OK" {
		return nil, notTLS("the server answers STARTTLS with %q", lines)
	}
	return words, nil
}

func sieveOffersTLS(capabilities []string) bool {
	for _, line := range capabilities {
		if name, _, _ := strings.Cut(line, " "); strings.EqualFold(name, `"STARTTLS"`) {
			return true
		}
	}
	return false
}

// readSieveResponse reads lines that begin with a string, up to the one that has
// the status (RFC 5804, 1.2): OK, NO or BYE.
func readSieveResponse(r io.Reader) (status string, lines []string, err error) {
	for range maxReply {
		line, err := readSieveLine(r)
		if err != nil {
			return "", nil, cut(err)
		}
		lines = append(lines, line)
		switch status, _ := command(line); {
		case status == "OK", status == "NO", status == "BYE":
			return status, lines, nil
		case !strings.HasPrefix(line, `"`):
			return "", nil, notTLS("the server says %q: want a response of ManageSieve", line)
		}
	}
	return "", nil, errLongReply
}

// readSieveLine reads a line with the literals in it (RFC 5804, 4): {5}, CRLF, and
// five bytes, which may be anything.
func readSieveLine(r io.Reader) (string, error) {
	var whole strings.Builder
	for {
		line, err := readLine(r)
		if err != nil {
			return "", cut(err)
		}
		whole.WriteString(line)
		length, ok := sieveLiteral(line)
		if !ok {
			return whole.String(), nil
		}
		if length > maxLine-whole.Len() { // the sum may be more than an int holds
			return "", notTLS("a line is longer than %d bytes: %.20q…", maxLine, line)
		}
		literal := make([]byte, length)
		if _, err := io.ReadFull(r, literal); err != nil {
			return "", cut(err)
		}
		whole.Write(literal)
	}
}

// sieveLiteral is the length of the literal that a line announces at its end.
func sieveLiteral(line string) (length int, ok bool) {
	open := strings.LastIndexByte(line, '{')
	if open < 0 || !strings.HasSuffix(line, "}") {
		return 0, false
	}
	n, err := strconv.ParseUint(strings.TrimSuffix(line[open+1:len(line)-1], "+"), 10, 31)
	return int(n), err == nil
}
