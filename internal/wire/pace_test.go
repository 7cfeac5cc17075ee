package wire

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

func TestAPaceBoundsTheBytesASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, rate := range []int{1, 10, 1000, 1 << 20} {
			client, server := net.Pipe()
			c := NewConn(server)
			c.SetPace(rate)
			go func() {
				client.Write(make([]byte, 4*rate))
				io.Copy(io.Discard, client)
			}()
			start := time.Now()
			if _, err := io.ReadFull(c, make([]byte, 4*rate)); err != nil {
				t.Fatal(err)
			}
			within(t, "reading", time.Since(start), rate)
			start = time.Now()
			if n, err := c.Write(make([]byte, 4*rate)); n != 4*rate || err != nil {
				t.Fatalf("Write returned %d, %v", n, err)
			}
			within(t, "writing", time.Since(start), rate)
			client.Close()
			c.Close()
			synctest.Wait()
		}
	})
}

// within checks the time that four seconds' worth of bytes took, of which a
// tenth of a second's may go at once.
func within(t *testing.T, what string, took time.Duration, rate int) {
	t.Helper()
	if took < 3*time.Second || took > 4100*time.Millisecond {
		t.Errorf("%s four seconds' worth of %d bytes a second took %v", what, rate, took)
	}
}

func TestWhoWaitsForItsPaceHearsOfTheEnd(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(c *Conn)
		want error
	}{
		{"its deadline", func(c *Conn) { c.SetDeadline(time.Now().Add(time.Second)) }, os.ErrDeadlineExceeded},
		{"a deadline that is over", func(c *Conn) { c.SetDeadline(past) }, os.ErrDeadlineExceeded},
		{"Abort", func(c *Conn) { c.Abort() }, os.ErrDeadlineExceeded},
		{"Reset", func(c *Conn) { c.Reset() }, io.ErrClosedPipe},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, server := net.Pipe()
				conn := NewConn(server)
				conn.SetPace(1)
				go io.Copy(io.Discard, client)
				written := make(chan error, 1)
				go func() {
					_, err := conn.Write(make([]byte, 3600))
					written <- err
				}()
				time.Sleep(10 * time.Second)
				start := time.Now()
				c.end(conn)
				if err := <-written; !errors.Is(err, c.want) {
					t.Errorf("Write returned %v, want %v", err, c.want)
				}
				if took := time.Since(start); took > 1100*time.Millisecond {
					t.Errorf("it heard of it after %v", took)
				}
				client.Close()
				conn.Close()
			})
		})
	}
}

func TestWhichWriteIsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe()
		c := NewConn(server)
		if c.Writing() != 0 || c.Sent() != 0 {
			t.Errorf("before the first write: %d is under way, %d bytes sent", c.Writing(), c.Sent())
		}
		go c.Write([]byte("abc"))
		synctest.Wait()
		if c.Writing() != 1 {
			t.Errorf("%d is under way, want the first", c.Writing())
		}
		io.ReadFull(client, make([]byte, 3))
		synctest.Wait()
		if c.Writing() != 0 || c.Sent() != 3 {
			t.Errorf("after it: %d is under way, %d bytes sent", c.Writing(), c.Sent())
		}
		client.Close()
		c.Close()
	})
}
