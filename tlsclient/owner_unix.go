//go:build !windows

package tlsclient

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// checkOwner refuses a file whose owner is neither us nor root: its mode is theirs to
// choose.
func checkOwner(info fs.FileInfo) error {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && stat.Uid != 0 && int(stat.Uid) != os.Geteuid() {
		return fmt.Errorf("it belongs to another user (%d): whose keys are in it cannot be known", stat.Uid)
	}
	return nil
}
