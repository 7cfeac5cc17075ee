//go:build !windows

package tlsserver

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"runtime"
	"strconv"
	"strings"
	"syscall"
)

// restrict gives a socket the mode that its file will be made with. Only Linux
// heeds it; elsewhere the mode comes a moment after bind.
func restrict(rc syscall.RawConn, mode fs.FileMode) error {
	if mode == 0 || runtime.GOOS != "linux" {
		return nil
	}
	var err error
	ctrlErr := rc.Control(func(fd uintptr) { err = syscall.Fchmod(int(fd), uint32(mode&0o700)) })
	if ctrlErr != nil {
		return ctrlErr
	}
	return err
}

// accepts refuses a socket that is no listener: systemd hands over connections
// too (Accept=yes).
func accepts(l net.Listener) error {
	rc, err := l.(syscall.Conn).SyscallConn()
	if err != nil {
		return err
	}
	listening := 0
	ctrlErr := rc.Control(func(fd uintptr) {
		listening, err = syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_ACCEPTCONN)
	})
	if err := errors.Join(ctrlErr, err); err != nil {
		return err
	}
	if listening == 0 {
		return errors.New("it is a connection, and no listener")
	}
	return nil
}

// chown gives a file the owner of an endpoint.
func chown(path, owner string) error {
	uid, gid, err := ownerIDs(owner)
	if err != nil {
		return err
	}
	return os.Chown(path, uid, gid)
}

// ownerIDs reads owner as user, user:group or :group, by name or number; -1 is
// left as it is.
func ownerIDs(owner string) (uid, gid int, err error) {
	name, group, _ := strings.Cut(owner, ":")
	uid, gid = -1, -1
	if name != "" {
		uid, err = numeric(name, func() (string, error) {
			u, err := user.Lookup(name)
			if err != nil {
				return "", err
			}
			return u.Uid, nil
		})
	}
	if err == nil && group != "" {
		gid, err = numeric(group, func() (string, error) {
			g, err := user.LookupGroup(group)
			if err != nil {
				return "", err
			}
			return g.Gid, nil
		})
	}
	if err != nil {
		return 0, 0, fmt.Errorf("owner %q: %w", owner, err)
	}
	return uid, gid, nil
}

func numeric(s string, lookUp func() (string, error)) (int, error) {
	if id, err := strconv.Atoi(s); err == nil {
		return id, nil
	}
	found, err := lookUp()
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(found)
}
