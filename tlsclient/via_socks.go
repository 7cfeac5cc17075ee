package tlsclient

import (
	"fmt"
	"io"
	"net/netip"
	"net/url"
)

// The bytes of SOCKS 5 (RFC 1928, 3 to 6; RFC 1929, 2).
const (
	socksVersion      = 5
	socksNoAuth       = 0
	socksPassword     = 2
	socksNoMethod     = 0xff
	socksPasswordForm = 1
	socksConnect      = 1
	socksIPv4         = 1
	socksName         = 3
	socksIPv6         = 4
)

// connectSOCKS asks a SOCKS proxy for a connection. A name is the proxy's to
// resolve.
func connectSOCKS(proxy io.ReadWriter, user *url.Userinfo, host string, port int) error {
	methods := []byte{socksNoAuth}
	if user != nil {
		methods = append(methods, socksPassword)
	}
	if _, err := proxy.Write(append([]byte{socksVersion, byte(len(methods))}, methods...)); err != nil {
		return err
	}
	var chosen [2]byte
	if err := readSOCKS(proxy, chosen[:]); err != nil {
		return err
	}
	switch method := chosen[1]; {
	case chosen[0] != socksVersion:
		return fmt.Errorf("it does not speak SOCKS 5: its answer begins with the bytes % x", chosen)
	case method == socksNoAuth:
	case method == socksPassword && user != nil:
		if err := logIntoSOCKS(proxy, user); err != nil {
			return err
		}
	case method == socksNoMethod && user == nil:
		return &refusal{"the proxy wants to know who we are", true}
	case method == socksNoMethod:
		return &refusal{"the proxy takes neither a name with a password nor none", true}
	default:
		return fmt.Errorf("the proxy chose authentication method %d, which was not offered", method)
	}
	if _, err := proxy.Write(socksRequest(host, port)); err != nil {
		return err
	}
	return readSOCKSReply(proxy)
}

func logIntoSOCKS(proxy io.ReadWriter, user *url.Userinfo) error {
	name := user.Username()
	password, _ := user.Password()
	login := append([]byte{socksPasswordForm, byte(len(name))}, name...)
	login = append(append(login, byte(len(password))), password...)
	if _, err := proxy.Write(login); err != nil {
		return err
	}
	var status [2]byte
	if err := readSOCKS(proxy, status[:]); err != nil {
		return err
	}
	if status[1] != 0 {
		return &refusal{fmt.Sprintf("the proxy does not take the password of user %q", name), true}
	}
	if status[0] != socksPasswordForm {
		return fmt.Errorf("the proxy answers a password with the bytes % x", status)
	}
	return nil
}

func socksRequest(host string, port int) []byte {
	request := []byte{socksVersion, socksConnect, 0}
	switch addr, err := netip.ParseAddr(host); {
	case err != nil:
		request = append(append(request, socksName, byte(len(host))), host...)
	case addr.Unmap().Is4():
		request = append(append(request, socksIPv4), addr.Unmap().AsSlice()...)
	default:
		request = append(append(request, socksIPv6), addr.AsSlice()...)
	}
	return append(request, byte(port>>8), byte(port))
}

// readSOCKSReply reads to the last byte of the address in the reply, which says
// nothing that is of use.
func readSOCKSReply(proxy io.Reader) error {
	var head [2]byte
	if err := readSOCKS(proxy, head[:]); err != nil {
		return err
	}
	if head[0] != socksVersion {
		return fmt.Errorf("the proxy answers with the bytes % x, which is not SOCKS 5", head)
	}
	if head[1] != 0 { // some end the connection here
		text := "for a reason that SOCKS has no word for"
		if int(head[1]) < len(socksReplies) {
			text = socksReplies[head[1]]
		}
		return &refusal{text: fmt.Sprintf("the proxy does not connect us: %s (SOCKS reply %d)", text, head[1])}
	}
	var rest [3]byte // reserved, form of the address, and its first byte
	if err := readSOCKS(proxy, rest[:]); err != nil {
		return err
	}
	lengths := map[byte]int{socksIPv4: 4, socksIPv6: 16, socksName: 1 + int(rest[2])}
	length, known := lengths[rest[1]]
	if !known {
		return fmt.Errorf("the proxy answers with an address of the unknown form %d", rest[1])
	}
	return readSOCKS(proxy, make([]byte, length-1+2)) // and the port
}

func readSOCKS(proxy io.Reader, b []byte) error {
	_, err := io.ReadFull(proxy, b)
	return short(err)
}

// socksReplies are those of RFC 1928, 6, by their number.
var socksReplies = []string{
	"", "it failed", "its rules do not allow it", "the network cannot be reached", "the host cannot be reached",
	"the connection was refused", "the time to live has expired", "it has no such command", "it has no such form of address",
}
