//go:build services

package main

import "testing"

// TestServices runs the scripts that need other people's programs:
// scripts/test-services installs those.
func TestServices(t *testing.T) { runScripts(t, "services") }
