package main

import (
	"fmt"
	"slices"

	"github.com/urfave/cli/v2"

	"tcps/certs"
	"tcps/tlsserver"
)

const authCategory = "Certificates and clients"

func trustFlags() []cli.Flag {
	flags := []cli.Flag{
		listFlag(authCategory, "cert", "PEM or PKCS#12 `FILE` with a certificate, its chain, and possibly its key"),
		listFlag(authCategory, "key", "`FILE` with the key of the certificate in the same place"),
		listFlag(authCategory, "client-ca", "`FILE` or folder with authorities that vouch for clients: a client certificate is required then"),
		stringFlag(authCategory, "client-auth", "", "`MODE` of client authentication: require, optional or none"),
	}
	for _, action := range []string{"allow", "deny"} {
		for _, kind := range tlsserver.RuleKinds {
			flags = append(flags, listFlag(authCategory, action+"-"+string(kind), fmt.Sprintf("%s clients whose certificate has this %s", action, ruleUsage[kind])))
		}
	}
	return append(append(flags, listFlags(authCategory, "clients")...), onRevokeFlag())
}

var ruleUsage = map[tlsserver.RuleKind]string{
	tlsserver.RuleCN:    "common `NAME`",
	tlsserver.RuleOU:    "organizational `UNIT`",
	tlsserver.RuleDNS:   "DNS `NAME`",
	tlsserver.RuleEmail: "e-mail `ADDRESS`",
	tlsserver.RuleIP:    "IP `ADDRESS` or prefix",
	tlsserver.RuleURI:   "`URI`",
	tlsserver.RulePin:   "`PIN` (SHA-256 of its public key, base64 or hex)",
}

// A trustConfig is what the flags say of certificates and clients.
type trustConfig struct {
	pairs          []certs.Pair
	passphraseFile string // watched with the keys that it opens
	clientTrust           // of clients that ask for none of names
	names          []nameTrust
}

// A clientTrust is what the flags say of clients.
type clientTrust struct {
	clientCAs  []string
	clientAuth tlsserver.ClientAuth
	policy     *tlsserver.Policy
	revocation *revocationConfig
}

// trustConfigOf reads the flags of a service, and what its file says of names.
func trustConfigOf(c *cli.Context, named []nameRules, ask certs.Passphrase) (*trustConfig, error) {
	pairs, err := pairsOf(c, "", ask)
	if err != nil {
		return nil, err
	}
	t := &trustConfig{pairs: pairs, passphraseFile: c.String("passphrase-file")}
	if t.clientTrust, err = clientTrustOf(c); err != nil {
		return nil, err
	}
	if t.names, err = nameTrustsOf(named); err != nil {
		return nil, err
	}
	return t, t.readOnRevoke(c)
}

func clientTrustOf(c *cli.Context) (t clientTrust, err error) {
	t.clientCAs = list(c, "client-ca")
	if mode := c.String("client-auth"); mode != "" {
		if t.clientAuth, err = tlsserver.ParseClientAuth(mode); err != nil {
			return t, misuse("", "flag --client-auth: %v", err)
		}
	}
	if err := t.readPolicy(c); err != nil {
		return t, err
	}
	if t.revocation, err = clientRevocation(c, t.clientCAs); err != nil {
		return t, err
	}
	return t, t.check()
}

// readOnRevoke reads what is done with open connections, whatever their name.
func (t *trustConfig) readOnRevoke(c *cli.Context) (err error) {
	if t.revocation.keepOpen, err = oneOf(c, "on-revoke", "close", "keep"); err != nil {
		return err
	}
	vouched := slices.ContainsFunc(t.parts(), func(part *clientTrust) bool { return len(part.clientCAs) > 0 })
	if t.revocation.keepOpen && !vouched {
		return noAuthority("on-revoke")
	}
	return nil
}

// pairsOf pairs --cert and --key in order; the flags may have a prefix.
func pairsOf(c *cli.Context, prefix string, ask certs.Passphrase) ([]certs.Pair, error) {
	chains, keys := list(c, prefix+"cert"), list(c, prefix+"key")
	if len(keys) > len(chains) {
		return nil, misuse(fmt.Sprintf("give each --%[1]skey the --%[1]scert that it belongs to", prefix), "--%[1]skey %[2]q has no --%[1]scert", prefix, keys[len(chains)])
	}
	var pairs []certs.Pair
	for i, chain := range chains {
		pair := certs.Pair{Cert: chain, Passphrase: ask}
		if i < len(keys) {
			pair.Key = keys[i]
		}
		pairs = append(pairs, pair)
	}
	return pairs, nil
}

func (t *clientTrust) readPolicy(c *cli.Context) error {
	var policy tlsserver.Policy
	for action, rules := range map[string]*[]tlsserver.Rule{"allow": &policy.Allow, "deny": &policy.Deny} {
		for _, kind := range tlsserver.RuleKinds {
			more, err := rulesOf(c, action+"-"+string(kind), kind)
			if err != nil {
				return err
			}
			*rules = append(*rules, more...)
		}
	}
	if len(policy.Allow)+len(policy.Deny) > 0 {
		t.policy = &policy
	}
	return nil
}

// rulesOf are the rules that a flag has.
func rulesOf(c *cli.Context, flag string, kind tlsserver.RuleKind) ([]tlsserver.Rule, error) {
	var rules []tlsserver.Rule
	for _, value := range list(c, flag) {
		rule, err := tlsserver.ParseRule(kind, value)
		if err != nil {
			return nil, misuse("", "flag --%s: %v", flag, err)
		}
		rules = append(rules, rule)
	}
	return rules, nil
}

// check refuses what cannot be meant, in the words of the flags.
func (t *clientTrust) check() error {
	if len(t.clientCAs) > 0 {
		if t.clientAuth == tlsserver.ClientAuthNone {
			return misuse("leave one of them out", "--client-auth none together with --client-ca: nobody would be asked for a certificate")
		}
		return nil
	}
	pinned := false
	if t.policy != nil {
		for _, rule := range t.policy.Allow {
			pinned = pinned || rule.Kind() == tlsserver.RulePin
		}
		for action, rules := range map[string][]tlsserver.Rule{"allow": t.policy.Allow, "deny": t.policy.Deny} {
			for _, rule := range rules {
				if rule.Kind() != tlsserver.RulePin || !pinned {
					return misuse("name the authority that vouches for clients: --client-ca FILE", "--%s-%s without --client-ca: anybody can write any name into a certificate", action, rule.Kind())
				}
			}
		}
	}
	switch {
	case t.clientAuth == tlsserver.ClientAuthNone && pinned:
		return misuse("leave one of them out", "--client-auth none together with --allow-pin: nobody would be asked for a certificate")
	case t.clientAuth != tlsserver.ClientAuthDefault && t.clientAuth != tlsserver.ClientAuthNone && !pinned:
		return misuse("name the authority that vouches for clients: --client-ca FILE", "--client-auth without --client-ca: there is nothing to judge a certificate by")
	}
	return nil
}

// asksClients reports whether anything is said of clients' certificates.
func (t *trustConfig) asksClients() bool {
	return len(t.names) > 0 || len(t.clientCAs) > 0 || t.policy != nil || t.clientAuth != tlsserver.ClientAuthDefault
}
