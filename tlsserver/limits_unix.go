//go:build !windows

package tlsserver

import "syscall"

// maxDescriptors is how many the process may have. Go has raised the soft limit
// to the hard one.
func maxDescriptors() int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil || limit.Cur > 1<<30 {
		return 1 << 20
	}
	return int(limit.Cur)
}
