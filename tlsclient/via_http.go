package tlsclient

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// maxHTTPAnswer bounds what a proxy may answer, in bytes.
const maxHTTPAnswer = 16 << 10

// connectHTTP asks an HTTP proxy for a connection (RFC 9110, 9.3.6). A name is
// the proxy's to resolve.
func connectHTTP(proxy io.ReadWriter, user *url.Userinfo, host string, port int) error {
	target := net.JoinHostPort(host, strconv.Itoa(port))
	request := "CONNECT " + target + " HTTP/1.1\r\nHost: " + target + "\r\n"
	if user != nil {
		password, _ := user.Password()
		login := base64.StdEncoding.EncodeToString([]byte(user.Username() + ":" + password))
		request += "Proxy-Authorization: Basic " + login + "\r\n"
	}
	if _, err := io.WriteString(proxy, request+"\r\n"); err != nil {
		return err
	}
	for left := maxHTTPAnswer; ; {
		head, err := readHead(proxy, left)
		if err != nil {
			return err
		}
		left -= len(head)
		answer, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(head)), &http.Request{Method: http.MethodConnect})
		if err != nil {
			return fmt.Errorf("it does not speak HTTP: %w", err)
		}
		if answer.StatusCode >= 200 { // those before announce it (RFC 9110, 15.2)
			return judgeHTTP(answer, user)
		}
	}
}

// judgeHTTP reads no body: after 2xx there is none, whatever the header says
// (RFC 9110, 9.3.6), and of others the status is enough.
func judgeHTTP(answer *http.Response, user *url.Userinfo) error {
	status := answer.Status[:min(len(answer.Status), 80)]
	switch {
	case answer.StatusCode < 300:
		return nil
	case answer.StatusCode != http.StatusProxyAuthRequired:
		return &refusal{text: "the proxy does not connect us: it answers " + status}
	}
	var schemes []string
	for _, challenge := range answer.Header.Values("Proxy-Authenticate") {
		scheme, _, _ := strings.Cut(strings.TrimSpace(challenge), " ")
		if strings.EqualFold(scheme, "basic") {
			schemes = nil
			break
		}
		schemes = append(schemes, scheme)
	}
	slices.Sort(schemes)
	switch {
	case len(schemes) > 0:
		return &refusal{fmt.Sprintf("the proxy wants to know who we are by %s, and we speak only Basic: it answers %s", strings.Join(slices.Compact(schemes), " or "), status), true}
	case user == nil:
		return &refusal{"the proxy wants to know who we are: it answers " + status, true}
	}
	return &refusal{fmt.Sprintf("the proxy does not take the password of user %q: it answers %s", user.Username(), status), true}
}

// readHead reads an answer to its empty line, a byte at a time: the next one is
// the server's.
func readHead(proxy io.Reader, limit int) ([]byte, error) {
	var head []byte
	b := make([]byte, 1)
	for !bytes.HasSuffix(head, []byte("\n\r\n")) && !bytes.HasSuffix(head, []byte("\n\n")) {
		if len(head) == limit {
			return nil, fmt.Errorf("the proxy's answer is longer than %d bytes", maxHTTPAnswer)
		}
		if len(head) == len("HTTP/") && string(head) != "HTTP/" {
			return nil, fmt.Errorf("it does not speak HTTP: its answer begins with %q", head)
		}
		if _, err := io.ReadFull(proxy, b); err != nil {
			return nil, short(err)
		}
		head = append(head, b[0])
	}
	return head, nil
}
