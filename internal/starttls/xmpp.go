package starttls

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
)

const (
	xmppStreams = "http://etherx.jabber.org/streams"
	xmppTLS     = "urn:ietf:params:xml:ns:xmpp-tls"

	maxXMPP = 16 << 10 // bytes from a server before TLS
)

// requestXMPP is RFC 6120, 5.4: a stream, its features, and our wish. From
// servers to servers it says nobody's name: it is a client's connection.
func requestXMPP(c *Client, rw io.ReadWriter) ([]byte, error) {
	if c.ServerName == "" {
		return nil, errors.New("the stream has to name the server that it is for, and no name is known")
	}
	content := "jabber:client"
	if c.Protocol == "xmpp-server" {
		content = "jabber:server"
	}
	if err := write(rw, "<?xml version='1.0'?><stream:stream xmlns='"+content+"' xmlns:stream='"+xmppStreams+
		"' to='"+escapeXML(c.ServerName)+"' version='1.0'>"); err != nil {
		return nil, err
	}
	s := newXMPPStream(rw)
	if err := s.begin(); err != nil {
		return nil, s.why(err)
	}
	if err := s.offersTLS(); err != nil {
		return nil, s.why(err)
	}
	if err := write(rw, "<starttls xmlns='"+xmppTLS+"'/>"); err != nil {
		return nil, err
	}
	return nil, s.why(s.proceeds())
}

func escapeXML(s string) string {
	var b strings.Builder
	xml.EscapeText(&b, []byte(s)) // a Builder takes all
	return b.String()
}

// An xmppStream is what a server says before TLS: a part of XML (RFC 6120, 11), no
// more of which is read than an element needs.
type xmppStream struct {
	source  *byteSource
	decoder *xml.Decoder
	begun   bool // something came: an XML declaration may not any more
}

func newXMPPStream(r io.Reader) *xmppStream {
	source := &byteSource{r: r, left: maxXMPP}
	return &xmppStream{source: source, decoder: xml.NewDecoder(source)}
}

// A byteSource gives bytes singly, which keeps a decoder from reading ahead.
type byteSource struct {
	r    io.Reader
	left int
	err  error
}

func (s *byteSource) ReadByte() (byte, error) {
	var b [1]byte
	_, err := s.Read(b[:])
	return b[0], err
}

func (s *byteSource) Read(b []byte) (int, error) {
	if s.left == 0 {
		s.err = notTLS("the server has sent %d bytes, and still not agreed to TLS", maxXMPP)
		return 0, s.err
	}
	n, err := io.ReadFull(s.r, b[:min(1, len(b))])
	s.left -= n
	if err != nil {
		s.err = cut(err)
	}
	return n, err
}

// why is what went wrong in reading, if that is it.
func (s *xmppStream) why(err error) error {
	if err != nil && s.source.err != nil {
		return s.source.err
	}
	if syntax, ok := errors.AsType[*xml.SyntaxError](err); ok {
		return notTLS("the server sends no XML stream: %s", syntax.Msg)
	}
	return err
}

// token is the next one that counts, or an error for what XMPP forbids.
func (s *xmppStream) token() (xml.Token, error) {
	for {
		token, err := s.decoder.Token()
		if err != nil {
			return nil, err
		}
		switch t := token.(type) {
		case xml.StartElement, xml.EndElement:
			s.begun = true
			return t, nil
		case xml.ProcInst:
			if s.begun || t.Target != "xml" {
				return nil, notTLS("the server sends a processing instruction, which XMPP forbids")
			}
		case xml.Comment, xml.Directive:
			return nil, notTLS("the server sends a comment or a declaration, which XMPP forbids")
		}
		s.begun = true
	}
}

// element is the next one on the level of the stream; errors of the stream are
// refusals.
func (s *xmppStream) element() (xml.StartElement, error) {
	token, err := s.token()
	if err != nil {
		return xml.StartElement{}, err
	}
	start, ok := token.(xml.StartElement)
	if !ok {
		return start, notTLS("the server ends the stream before TLS")
	}
	if start.Name == (xml.Name{Space: xmppStreams, Local: "error"}) {
		return start, s.refusal()
	}
	return start, nil
}

// refusal names the condition of an error (RFC 6120, 4.9.3).
func (s *xmppStream) refusal() error {
	token, err := s.token()
	if err != nil {
		return err
	}
	condition, ok := token.(xml.StartElement)
	if !ok {
		return &Refusal{Words: []byte("stream error")}
	}
	return &Refusal{Words: fmt.Appendf(nil, "stream error %s", condition.Name.Local)}
}

func (s *xmppStream) begin() error {
	start, err := s.element()
	if err != nil {
		return err
	}
	if start.Name != (xml.Name{Space: xmppStreams, Local: "stream"}) {
		return notTLS("the server begins with %q: want a stream of XMPP", start.Name.Local)
	}
	for _, attr := range start.Attr {
		if attr.Name == (xml.Name{Local: "version"}) && strings.HasPrefix(attr.Value, "1.") {
			return nil
		}
	}
	return notTLS("the server does not offer STARTTLS: it is older than version 1.0 of XMPP")
}

// offersTLS reads the features to their end.
func (s *xmppStream) offersTLS() error {
	start, err := s.element()
	if err != nil {
		return err
	}
	if start.Name != (xml.Name{Space: xmppStreams, Local: "features"}) {
		return notTLS("the server says %q: want the features of its stream", start.Name.Local)
	}
	offers := false
	for depth := 1; depth > 0; {
		token, err := s.token()
		if err != nil {
			return err
		}
		switch t := token.(type) {
		case xml.StartElement:
			offers = offers || depth == 1 && t.Name == xml.Name{Space: xmppTLS, Local: "starttls"}
			depth++
		case xml.EndElement:
			depth--
		}
	}
	if !offers {
		return notTLS("the server does not offer STARTTLS")
	}
	return nil
}

// proceeds reads the answer, up to its last byte: TLS follows that (RFC 6120, 5.4.2.3).
func (s *xmppStream) proceeds() error {
	start, err := s.element()
	if err != nil {
		return err
	}
	if start.Name != (xml.Name{Space: xmppTLS, Local: "proceed"}) {
		return notTLS("the server answers starttls with %q", start.Name.Local)
	}
	token, err := s.token()
	if err != nil {
		return err
	}
	if _, ok := token.(xml.EndElement); !ok {
		return notTLS("the server answers starttls with more than an agreement")
	}
	return nil
}
