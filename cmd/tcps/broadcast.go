package main

import (
	"slices"

	"github.com/urfave/cli/v2"

	"tcps/tlsserver"
	"tcps/tlsserver/service"
)

const roomCategory = "The service broadcast"

// broadcastFlags are those of serve broadcast.
func broadcastFlags() []cli.Flag {
	flags := []cli.Flag{
		stringFlag(roomCategory, "name-from", "cert", "`WHAT` members are called by: cert (its common name, else its URI; without one the address) or address"),
		bytesFlag(roomCategory, "max-line", 64<<10, "`BYTES` of a line; who sends a longer one is put out"),
		boolFlag(roomCategory, "chunks", "pass on what each read gives, as it is, instead of whole lines"),
		bytesFlag(roomCategory, "queue", 1<<20, "`BYTES` that may wait for a member; a full queue holds those up who speak, for a second"),
		stringFlag(roomCategory, "slow", "drop-member", "`MODE` for members whose queue stays full: drop-member (put it out) or drop-lines (it misses some, and is told how many)"),
		countFlag(roomCategory, "room-max", 0, "`NUMBER` of members that the room may have"),
		countFlag(roomCategory, "history", 0, "`NUMBER` of lines said before that a new member gets"),
	}
	for _, kind := range tlsserver.RuleKinds {
		flags = append(flags, listFlag(roomCategory, "may-write-"+string(kind), "let only members speak whose certificate has this "+ruleUsage[kind]+", or that match another such rule"))
	}
	return flags
}

// broadcastHandler is the room that the flags ask for.
func (p *program) broadcastHandler(c *cli.Context, args []string) (tlsserver.Handler, error) {
	if err := noServiceArguments(args); err != nil {
		return nil, err
	}
	room := &service.MemoryRoom{MaxMembers: max(countOf(c, "room-max"), 0), History: max(countOf(c, "history"), 0)}
	b := &service.Broadcast{Room: room, MaxLineBytes: bytesOf(c, "max-line"), Chunks: c.Bool("chunks"), QueueBytes: bytesOf(c, "queue")}
	if b.Chunks && c.IsSet("max-line") {
		return nil, misuse("leave one of them out", "--max-line together with --chunks: there are no lines then")
	}
	if b.QueueBytes < minQueue {
		return nil, misuse("", "flag --queue: %d bytes are too few for a line or two: want %d or more", b.QueueBytes, minQueue)
	}
	switch from := c.String("name-from"); from {
	case "cert":
		if c.IsSet("name-from") && !asksForCertificates(c) {
			return nil, misuse("ask for certificates: --client-ca FILE or --allow-pin PIN", "--name-from cert, but no client is asked for a certificate")
		}
	case "address":
		b.NameFrom = service.NameFromAddress
	default:
		return nil, misuse("", "flag --name-from: %q is neither cert nor address", from)
	}
	switch mode := c.String("slow"); mode {
	case "drop-member":
	case "drop-lines":
		b.Slow = service.DropLines
	default:
		return nil, misuse("", "flag --slow: %q is neither drop-member nor drop-lines", mode)
	}
	var err error
	b.MayWrite, err = writersOf(c)
	return b, err
}

// minQueue has room for a welcome and some lines.
const minQueue = 4 << 10

// writersOf reads the rules for who may speak.
func writersOf(c *cli.Context) ([]tlsserver.Rule, error) {
	var rules []tlsserver.Rule
	for _, kind := range tlsserver.RuleKinds {
		more, err := rulesOf(c, "may-write-"+string(kind), kind)
		if err != nil {
			return nil, err
		}
		rules = slices.Concat(rules, more)
	}
	byName := func(r tlsserver.Rule) bool { return r.Kind() != tlsserver.RulePin }
	switch {
	case len(list(c, "client-ca")) == 0 && slices.ContainsFunc(rules, byName):
		return nil, misuse("name the authority that vouches for clients: --client-ca FILE", "--may-write-… without --client-ca: anybody can write any name into a certificate")
	case len(rules) > 0 && !asksForCertificates(c):
		return nil, misuse("ask for certificates: --client-ca FILE or --allow-pin PIN", "--may-write-pin, but no client is asked for a certificate")
	}
	return rules, nil
}

// asksForCertificates reports whether clients can have an identity.
func asksForCertificates(c *cli.Context) bool {
	return len(list(c, "client-ca"))+len(list(c, "allow-pin")) > 0
}
