package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/urfave/cli/v2"
)

// version is set when a release is built: -ldflags "-X main.version=v1.2.3".
var version = ""

func (p *program) versionCommand() *cli.Command {
	return &cli.Command{
		Name:      "version",
		Usage:     "version, build, and what this platform supports",
		UsageText: "tcps version",
		Action:    p.version,
	}
}

func (p *program) version(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	v, revision := version, ""
	if info, ok := debug.ReadBuildInfo(); ok {
		if v == "" {
			v = info.Main.Version
		}
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				revision = ", commit " + s.Value[:min(12, len(s.Value))]
			}
		}
	}
	fmt.Fprintf(p.out, "tcps %s%s\n", v, revision)
	fmt.Fprintf(p.out, "%s, %s/%s\n", runtime.Version(), runtime.GOOS, runtime.GOARCH)
	fmt.Fprintln(p.out, "TLS 1.2, TLS 1.3; groups: those of crypto/tls, post-quantum hybrids first")
	fmt.Fprintln(p.out, "owner and mode of Unix sockets:", yesNo(runtime.GOOS != "windows"))
	fmt.Fprintln(p.out, "reload on SIGHUP:", yesNo(runtime.GOOS != "windows")+"; when files change: yes")
	return nil
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
