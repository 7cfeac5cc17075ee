package service_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"tcps/tlsserver"
)

// toxiproxy is a proxy that does harm, between a tunnel and its target.
type toxiproxy struct {
	t    *testing.T
	api  string
	http http.Client
}

func startToxiproxy(t *testing.T) *toxiproxy {
	t.Helper()
	program := filepath.Join(t.TempDir(), "toxiproxy")
	build := exec.Command("go", "build", "-modfile=scripts/tools/go.mod", "-o", program, "github.com/Shopify/toxiproxy/v2/cmd/server")
	build.Dir = filepath.Join("..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build toxiproxy: %v\n%s", err, out)
	}
	port := boundPort(t)
	cmd := exec.Command(program, "-host", "127.0.0.1", "-port", fmt.Sprint(port))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &toxiproxy{t: t, api: fmt.Sprintf("http://127.0.0.1:%d", port)}
	p.http.Transport = &http.Transport{DisableKeepAlives: true}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for late := time.After(20 * time.Second); ; {
		if response, err := p.http.Get(p.api + "/version"); err == nil {
			response.Body.Close()
			return p
		}
		select {
		case <-tick.C:
		case <-late:
			t.Fatal("toxiproxy does not answer")
		}
	}
}

// boundPort is a port that the system gives to nobody else during the test.
func boundPort(t *testing.T) int {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	err = errors.Join(syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1),
		syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	addr, nameErr := syscall.Getsockname(fd)
	if err := errors.Join(err, nameErr); err != nil {
		t.Fatal(err)
	}
	return addr.(*syscall.SockaddrInet4).Port
}

func (p *toxiproxy) post(t testing.TB, path string, body any) map[string]any {
	t.Helper()
	data, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	response, err := p.http.Post(p.api+path, "application/json", bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var answer map[string]any
	json.NewDecoder(response.Body).Decode(&answer)
	if response.StatusCode/100 != 2 {
		t.Fatalf("POST %s: %s %v", path, response.Status, answer)
	}
	return answer
}

type attributes map[string]int

// poison adds a toxic to an open connection of the proxy of that name.
func (p *toxiproxy) poison(t testing.TB, name, toxic, stream string, a attributes) {
	t.Helper()
	p.post(t, "/proxies/"+name+"/toxics", map[string]any{"type": toxic, "stream": stream, "attributes": a})
}

func TestWhatToxiproxyDoesToATunnel(t *testing.T) {
	p := startToxiproxy(t)
	var proxies int
	each := func(name string, f func(t *testing.T, u *passage, proxy string)) {
		for _, from := range []kind{tls13, tcp} {
			for _, to := range []kind{tls13, tcp} {
				t.Run(name+"/"+from.name+" to "+to.name, func(t *testing.T) {
					proxies++
					proxy := fmt.Sprintf("p%d", proxies)
					u := newTunnelBehind(t, from, to, func(upstream string) string {
						made := p.post(t, "/proxies", map[string]any{"name": proxy, "listen": "127.0.0.1:0", "upstream": upstream, "enabled": true})
						return made["listen"].(string)
					})
					f(t, u, proxy)
				})
			}
		}
	}
	secure := func(u *passage) bool { return socket(u.target) != u.target }

	// slow, but whole: every byte and both ends come through
	for _, slow := range []struct {
		toxic string
		a     attributes
	}{
		{"latency", attributes{"latency": 50, "jitter": 20}},
		{"bandwidth", attributes{"rate": 1000}},
		{"slicer", attributes{"average_size": 700, "size_variation": 500, "delay": 20}},
		{"slow_close", attributes{"delay": 200}},
	} {
		each(slow.toxic, func(t *testing.T, u *passage, proxy string) {
			p.poison(t, proxy, slow.toxic, "upstream", slow.a)
			p.poison(t, proxy, slow.toxic, "downstream", slow.a)
			want := text(200 << 10)
			var all sync.WaitGroup
			for _, c := range []halfConn{u.client, u.target} {
				all.Go(func() { io.WriteString(c, want) })
				all.Go(func() {
					got := make([]byte, len(want))
					if n, err := io.ReadFull(c, got); err != nil || string(got) != want {
						t.Errorf("read %d bytes, %v; want all %d", n, err, len(want))
					}
				})
			}
			all.Wait()
			u.client.CloseWrite() // toxiproxy knows no half-close: this ends both ways
			u.wantAll(u.target, "")
			u.target.Close()
			u.client.Close()
			<-u.ended
		})
	}
	each("limit_data", func(t *testing.T, u *passage, proxy string) {
		const limit = 100_000
		p.poison(t, proxy, "limit_data", "downstream", attributes{"bytes": limit})
		want := text(300_000)
		go io.WriteString(u.target, want)
		got, err := io.ReadAll(u.client)
		if err != nil || !strings.HasPrefix(want, string(got)) || !secure(u) && len(got) != limit {
			t.Errorf("the client read %d bytes, %v; want what came before the cut, and an end", len(got), err)
		}
		u.client.Close()
		if secure(u) {
			u.wantEnd(tlsserver.ReasonTruncated)
			return
		}
		u.wantEnd(tlsserver.ReasonDone)
	})
	each("timeout", func(t *testing.T, u *passage, proxy string) {
		p.poison(t, proxy, "timeout", "downstream", attributes{"timeout": 300})
		io.WriteString(u.target, "lost")
		u.wantAll(u.client, "")
		u.client.Close()
		if secure(u) {
			u.wantEnd(tlsserver.ReasonTruncated)
			return
		}
		u.wantEnd(tlsserver.ReasonDone)
	})
	// The toxic has to be there before the connection, and lets nothing through
	// to the target: no handshake then.
	for _, from := range []kind{tls13, tcp} {
		t.Run("reset_peer/"+from.name, func(t *testing.T) {
			u := newTunnelBehind(t, from, tcp, func(upstream string) string {
				made := p.post(t, "/proxies", map[string]any{"name": from.name[:3], "listen": "127.0.0.1:0", "upstream": upstream, "enabled": true})
				p.poison(t, from.name[:3], "reset_peer", "upstream", attributes{"timeout": 0})
				return made["listen"].(string)
			})
			io.WriteString(u.target, "acknowledged")
			got := make([]byte, len("acknowledged"))
			if _, err := io.ReadFull(u.client, got); err != nil || string(got) != "acknowledged" {
				t.Errorf("the client read %q, %v", got, err)
			}
			io.WriteString(u.client, "now")
			if n, err := u.client.Read(got); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("the client read %q, %v; want a reset", got[:n], err)
			}
			u.wantEnd(tlsserver.ReasonReset)
		})
	}
}
