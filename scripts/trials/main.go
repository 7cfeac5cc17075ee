//go:build linux

// Command trials puts a real tcps under load and watches it from outside: it measures
// what no test should assert, since it depends on the machine.
//
//	go run ./scripts/trials slow-peers [FLAG…]
//
// Its flags are explained by -help.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:]))
}

func run(ctx context.Context, args []string) int {
	trials := map[string]func(context.Context, []string) error{"slow-peers": slowPeers}
	if len(args) == 0 || trials[args[0]] == nil {
		fmt.Fprintln(os.Stderr, "usage: trials slow-peers [FLAG…]")
		return 2
	}
	if err := trials[args[0]](ctx, args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "trials:", err)
		return 1
	}
	return 0
}
