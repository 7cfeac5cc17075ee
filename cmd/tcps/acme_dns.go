package main

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/caddyserver/certmagic"
	"github.com/libdns/cloudflare"
	"github.com/libdns/rfc2136"
	"github.com/libdns/route53"
)

// dnsVariables are the variables of the environment that each provider of the
// dns challenge takes its credentials from, under the names that its own tools
// use: on a command line every user of the machine could read them.
var dnsVariables = map[string]struct{ needed, more []string }{
	"rfc2136":    {needed: []string{"RFC2136_NAMESERVER", "RFC2136_TSIG_KEY", "RFC2136_TSIG_SECRET"}, more: []string{"RFC2136_TSIG_ALGORITHM"}},
	"cloudflare": {needed: []string{"CLOUDFLARE_API_TOKEN"}, more: []string{"CLOUDFLARE_ZONE_TOKEN"}},
	"route53":    {more: []string{"AWS_REGION", "AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"}},
}

func dnsProviders() []string { return []string{"rfc2136", "cloudflare", "route53"} }

// dnsUsage is a line of help for each provider.
func dnsUsage() string {
	var lines []string
	for _, name := range dnsProviders() {
		words := slices.Clone(dnsVariables[name].needed)
		for _, variable := range dnsVariables[name].more {
			words = append(words, "["+variable+"]")
		}
		lines = append(lines, fmt.Sprintf("  %-11s %s", name, strings.Join(words, " ")))
	}
	return strings.Join(lines, "\n")
}

func dnsProvider(name string) (certmagic.DNSProvider, error) {
	variables, ok := dnsVariables[name]
	if !ok {
		return nil, misuse(suggestion("--acme-dns-provider ", name, dnsProviders(), "tcps serve --help"), "flag --acme-dns-provider: %q is none of %s", name, strings.Join(dnsProviders(), ", "))
	}
	missing := slices.DeleteFunc(slices.Clone(variables.needed), func(v string) bool { return os.Getenv(v) != "" })
	if len(missing) > 0 {
		return nil, misuse("set it to what the provider gave you", "--acme-dns-provider %s: the environment variable %s is not set", name, missing[0])
	}
	switch name {
	case "rfc2136":
		return &rfc2136.Provider{
			Server:  os.Getenv("RFC2136_NAMESERVER"),
			KeyName: os.Getenv("RFC2136_TSIG_KEY"),
			Key:     os.Getenv("RFC2136_TSIG_SECRET"),
			KeyAlg:  cmp.Or(os.Getenv("RFC2136_TSIG_ALGORITHM"), "hmac-sha256"),
		}, nil
	case "cloudflare":
		return &cloudflare.Provider{APIToken: os.Getenv("CLOUDFLARE_API_TOKEN"), ZoneToken: os.Getenv("CLOUDFLARE_ZONE_TOKEN")}, nil
	}
	return &route53.Provider{}, nil // the AWS SDK reads the environment by itself
}
