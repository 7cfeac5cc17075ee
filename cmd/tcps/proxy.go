package main

import (
	"github.com/urfave/cli/v2"

	"tcps/tlsserver"
)

const proxyCategory = "PROXY protocol"

// proxyInFlags are those of a server behind a load balancer.
func proxyInFlags() []cli.Flag {
	return []cli.Flag{
		listFlag(proxyCategory, "proxy-in", "`SOURCE` whose connections begin with a PROXY header, version 1 or 2, that names the client: an address, a prefix, or unix for Unix sockets"),
		stringFlag(proxyCategory, "proxy-in-mode", "required", "`MODE`: required refuses those connections without a header, optional takes them as they are"),
	}
}

// proxyInOf is nil where no header is to be read.
func proxyInOf(c *cli.Context) (*tlsserver.ProxyProtocol, error) {
	sources, mode := list(c, "proxy-in"), c.String("proxy-in-mode")
	if mode != "required" && mode != "optional" {
		return nil, misuse("", "flag --proxy-in-mode: %q is neither required nor optional", mode)
	}
	if len(sources) == 0 {
		if c.IsSet("proxy-in-mode") {
			return nil, misuse("name the load balancers: --proxy-in PREFIX", "--proxy-in-mode without --proxy-in: a header is taken from nobody")
		}
		return nil, nil
	}
	p := &tlsserver.ProxyProtocol{Optional: mode == "optional"}
	for _, source := range sources {
		if err := p.Trust(source); err != nil {
			return nil, misuse("write an address, a prefix, or unix", "flag --proxy-in: %q: %v", source, err)
		}
	}
	return p, nil
}

func proxyOutFlag() cli.Flag {
	return stringFlag(proxyCategory, "proxy-out", "", "`VERSION`, v1 or v2, of the PROXY header that tells the target its client's addresses; v2 also what was agreed on in TLS")
}

// proxyVersionOf is the version of the header that a flag wants to be sent; 0: none.
func proxyVersionOf(c *cli.Context, flag string) (byte, error) {
	switch v := c.String(flag); v {
	case "":
		return 0, nil
	case "v1":
		return 1, nil
	case "v2":
		return 2, nil
	default:
		return 0, misuse("", "flag --%s: %q is neither v1 nor v2", flag, v)
	}
}
