package starttls

import (
	"io"
)

// acceptPOP3 is RFC 2595, 4. The greeting has no timestamp: APOP would need
// the target's.
func acceptPOP3(_ *Server, c io.ReadWriter) (Accepted, error) {
	return converse(c, "+OK Ready\r\n", func(line string) (string, bool, error) {
		switch verb, rest := command(line); {
		case verb == "CAPA" && rest == "":
			return "+OK\r\nSTLS\r\n.\r\n", false, nil
		case verb == "STLS" && rest == "":
			return "+OK Begin TLS negotiation now\r\n", true, nil
		case verb == "QUIT" && rest == "":
			return "+OK Bye\r\n", false, io.EOF
		default:
			return "-ERR TLS is required: STLS first\r\n", false, nil
		}
	})
}

func requestPOP3(_ *Client, rw io.ReadWriter) ([]byte, error) {
	greeting, err := readPOP3Greeting(rw)
	if err != nil {
		return nil, err
	}
	if err := write(rw, "STLS\r\n"); err != nil {
		return nil, err
	}
	line, err := readLine(rw)
	if err != nil {
		return nil, cut(err)
	}
	if status, _ := command(line); status != "+OK" {
		return nil, notTLS("the server answers STLS with %q", line)
	}
	return greeting, nil
}

func readPOP3Greeting(r io.Reader) ([]byte, error) {
	line, err := readLine(r)
	if err != nil {
		return nil, cut(err)
	}
	words := []byte(line + "\r\n")
	switch status, _ := command(line); status {
	case "+OK":
		return words, nil
	case "-ERR":
		return nil, &Refusal{Words: words}
	default:
		return nil, notTLS("the server greets with %q: want +OK", line)
	}
}

func introducePOP3(i *Introduction, t Target) (io.Reader, io.Reader, error) {
	return i.passGreeting(t, readPOP3Greeting)
}
