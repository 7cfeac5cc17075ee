package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestTheMemoryThatControlGroupsLeave(t *testing.T) {
	const v1Unlimited = "9223372036854771712\n"
	for _, c := range []struct {
		name  string
		files map[string]string
		want  int64
	}{
		{"none", nil, 0},
		{"v2, its own", map[string]string{"proc/self/cgroup": "0::/system.slice/tcps.service\n", "sys/fs/cgroup/system.slice/tcps.service/memory.max": "104857600\n"}, 100 << 20},
		{"v2, the one above", map[string]string{
			"proc/self/cgroup": "0::/system.slice/tcps.service\n", "sys/fs/cgroup/system.slice/memory.max": "104857600\n",
			"sys/fs/cgroup/system.slice/tcps.service/memory.max": "max\n",
		}, 100 << 20},
		{"v2, the smaller of two", map[string]string{
			"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/memory.max": "3000\n", "sys/fs/cgroup/a/b/memory.max": "4000\n", "sys/fs/cgroup/memory.max": "5000\n",
		}, 3000},
		{"v2, none of them", map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "max\n"}, 0},
		{"v1", map[string]string{"proc/self/cgroup": "4:cpu,cpuacct:/\n3:memory:/docker/1\n", "sys/fs/cgroup/memory/docker/1/memory.limit_in_bytes": "2000\n"}, 2000},
		{"v1, where it is the root of a container", map[string]string{"proc/self/cgroup": "3:memory:/docker/1\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": "2000\n"}, 2000},
		{"v1, none", map[string]string{"proc/self/cgroup": "3:memory:/\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": v1Unlimited}, 0},
		{"something else", map[string]string{"proc/self/cgroup": "x\n"}, 0},
	} {
		root := t.TempDir()
		for path, text := range c.files {
			path = filepath.Join(root, path)
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if got := cgroupMemory(root); got != c.want {
			t.Errorf("%s: %d bytes, want %d", c.name, got, c.want)
		}
	}
}
