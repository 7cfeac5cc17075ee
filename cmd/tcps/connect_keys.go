package main

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"tcps/internal/pin"
	"tcps/internal/terminal"
	"tcps/tlsclient"
)

// keyFlags are for servers that are known by their key, whoever signed it.
func keyFlags() []cli.Flag {
	hosts := stringFlag("Trust", "known-hosts", "", "`FILE` of the keys that --tofu keeps")
	hosts.DefaultText = "known_hosts in the folder of --state"
	return []cli.Flag{
		listFlag("Trust", "pin", "`PIN` (SHA-256 of its public key, base64 or hex) that the server's certificate must have; without --ca nothing else counts"),
		boolFlag("Trust", "tofu", "trust on first use: keep the first key that the server shows, and refuse any other from then on"),
		hosts,
	}
}

// keyFlagNames mean nothing on a plain connection.
var keyFlagNames = []string{"pin", "tofu", "known-hosts"}

// dialKeys sets by which keys a server is known.
func dialKeys(c *cli.Context, d *tlsclient.Dialer) (err error) {
	if d.Pins, err = pinsOf(c, "pin"); err != nil {
		return err
	}
	if err := checkKeys(c); err != nil {
		return err
	}
	if !c.Bool("tofu") {
		return nil
	}
	path, err := knownHostsOf(c)
	if err != nil {
		return err
	}
	d.KnownHosts = tlsclient.NewKnownHosts(path)
	return nil
}

// knownHostsOf is the path of the file that --tofu keeps.
func knownHostsOf(c *cli.Context) (string, error) {
	if path := c.String("known-hosts"); path != "" {
		return path, nil
	}
	dir, err := stateDir(c)
	return filepath.Join(dir, "known_hosts"), err
}

// pinsOf are the pins that a flag has.
func pinsOf(c *cli.Context, flag string) ([]pin.Pin, error) {
	var pins []pin.Pin
	for _, text := range list(c, flag) {
		one, err := pin.Parse(text)
		if err != nil {
			return nil, misuse("", "flag --%s: %q is %v", flag, text, err)
		}
		pins = append(pins, one)
	}
	return pins, nil
}

// checkKeys refuses what contradicts a pin or --tofu.
func checkKeys(c *cli.Context) error {
	pinned, tofu := len(list(c, "pin")) > 0, c.Bool("tofu")
	hasCA := len(list(c, "ca")) > 0
	lists := ""
	for _, flag := range []string{"crl", "crl-from", "require-ocsp-staple"} {
		if len(list(c, flag)) > 0 || c.Bool(flag) {
			lists = flag
		}
	}
	const leaveOut = "leave one of them out"
	switch {
	case c.String("known-hosts") != "" && !tofu:
		return misuse("say --tofu too", "--known-hosts without --tofu: no keys are kept, and none looked up")
	case pinned && c.Bool("insecure"):
		return misuse(leaveOut, "--pin says which keys are taken, and --insecure takes any")
	case tofu && c.Bool("insecure"):
		return misuse(leaveOut, "--tofu takes the key that it knows, and --insecure takes any")
	case tofu && pinned:
		return misuse("with the pin nothing needs to be remembered", "--pin says which keys are taken, and --tofu that the first is")
	case tofu && hasCA:
		return misuse(leaveOut, "--ca says who vouches for the server, and with --tofu nobody needs to")
	case lists != "" && (tofu || pinned && !hasCA):
		return misuse("leave it out, or name an authority: --ca FILE", "--%s where no authority vouches for the server: its certificate cannot be known to be revoked", lists)
	}
	return nil
}

// knowsByKey reports whether no authority is asked, nor any name looked at.
func knowsByKey(c *cli.Context, d *tlsclient.Dialer) bool {
	return d.KnownHosts != nil || len(d.Pins) > 0 && len(list(c, "ca")) == 0
}

// describeKey says which key was taken. A new one is told of even with
// --quiet: whoever is in between would be taken for the server now.
func describeKey(c *cli.Context, w io.Writer, conn *tlsclient.Conn) {
	h, learned := conn.KnownHost()
	if h.Endpoint == "" {
		return
	}
	path, _ := knownHostsOf(c) // it was found for the dialer
	path = terminal.Printable(path)
	switch {
	case learned:
		fmt.Fprintf(w, "tcps: warning: NEW SERVER: the key of %s was not known, and is the only one that is taken from now on: pin %s\n", conn.Endpoint(), pin.String(h.Pin))
		fmt.Fprintf(w, "tcps: warning: is it the server's own? who runs it can say (\"tcps certs show\" prints the pin); it is kept in %s:%d\n", path, h.Line)
	case !c.Bool("quiet"):
		fmt.Fprintf(w, "tcps: its key is the one that was first seen %s (%s:%d)\n", h.FirstSeen.Format("2006-01-02 15:04"), path, h.Line)
	}
}

// keyHints are for a key that is not the right one, or cannot be kept.
func keyHints(c *cli.Context, failed *tlsclient.Error) []string {
	if changed, ok := errors.AsType[*tlsclient.KeyChangedError](failed); ok {
		var lines []string
		for _, h := range changed.Known {
			lines = append(lines, fmt.Sprintf("%dd", h.Line))
		}
		return []string{
			"somebody may be in between, who could read and change everything; none of the input was sent",
			"was the key replaced, and is that its pin? Who runs the server can say",
			fmt.Sprintf("if so, remove what is known, and connect again: sed -i.old -e '%s' %s", strings.Join(lines, ";"), terminal.ShellWord(changed.Path)),
		}
	}
	switch {
	case failed.Reason == tlsclient.ReasonPin:
		return []string{"if that is its key, say so: --pin PIN, several times where there are several keys"}
	case c.Bool("tofu") && failed.Op == tlsclient.OpDial:
		return []string{"correct the file, or name another one: --known-hosts FILE"}
	case failed.Op == tlsclient.OpRemember:
		return []string{"keep the keys where you may write: --known-hosts FILE; none of the input was sent"}
	}
	return nil
}
