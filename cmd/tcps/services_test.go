//go:build services

package main

import (
	"syscall"
	"testing"
)

// TestServices runs the scripts that need other people's programs:
// scripts/test-services installs those. Some run as users of their own, who have
// to read what the scripts write for them, whatever umask the tests are run with.
func TestServices(t *testing.T) {
	syscall.Umask(0o022)
	runScripts(t, "services")
}
