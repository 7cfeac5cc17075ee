package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// cgroupMemory is how many bytes the control groups of this process leave it, of
// version 2 or 1 (cgroups(7)); 0: they do not limit it. root is where the file
// system begins.
func cgroupMemory(root string) int64 {
	groups, err := os.ReadFile(filepath.Join(root, "proc/self/cgroup"))
	if err != nil {
		return 0
	}
	least := int64(0)
	for line := range strings.Lines(string(groups)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) < 3 {
			continue
		}
		folder, file := "", ""
		switch {
		case parts[0] == "0" && parts[1] == "":
			folder, file = "sys/fs/cgroup", "memory.max"
		case strings.Contains(","+parts[1]+",", ",memory,"):
			folder, file = "sys/fs/cgroup/memory", "memory.limit_in_bytes"
		default:
			continue
		}
		// Each group is bound by those above it.
		for group := filepath.Clean("/" + parts[2]); ; group = filepath.Dir(group) {
			if limit := limitIn(filepath.Join(root, folder, group, file)); limit > 0 && (least == 0 || limit < least) {
				least = limit
			}
			if group == "/" {
				break
			}
		}
	}
	return least
}

// limitIn is 0 where the file says that there is none. Version 1 says so with a
// number that no machine has.
func limitIn(path string) int64 {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	limit, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil || limit >= 1<<60 {
		return 0
	}
	return limit
}
