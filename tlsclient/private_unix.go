//go:build !windows

package tlsclient

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// checkPrivate refuses a file that somebody else may have written or read.
func checkPrivate(info fs.FileInfo) error {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && int(stat.Uid) != os.Geteuid() {
		return fmt.Errorf("belongs to another user (%d)", stat.Uid)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("is open to others (mode %04o)", info.Mode().Perm())
	}
	return nil
}
