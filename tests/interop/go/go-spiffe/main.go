// The client side of the go-spiffe cases: each verb is one scenario that prints a line per step for run.py to follow.
//
// It finds the Workload API as every go-spiffe program does, by SPIFFE_ENDPOINT_SOCKET.
package main

import (
	"context"
	"fmt"
	"os"
	"time"
)

const patience = 60 * time.Second

var scenarios = map[string]func(ctx context.Context, args []string) error{
	"rotate":  rotate,
	"serve":   serve,
	"dial":    dial,
	"jwt":     jwt,
	"bundles": bundles,
	"watch":   watch,
}

func main() {
	if len(os.Args) < 2 || scenarios[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: go-spiffe rotate|serve|dial|jwt|bundles|watch [ARGUMENT...]")
		os.Exit(2)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := scenarios[os.Args[1]](ctx, os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func say(format string, arguments ...any) {
	fmt.Printf(format+"\n", arguments...)
}

func arguments(given []string, wanted int) error {
	if len(given) != wanted {
		return fmt.Errorf("this scenario takes %d arguments, not %d", wanted, len(given))
	}
	return nil
}
