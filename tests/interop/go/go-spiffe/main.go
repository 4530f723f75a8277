// The client side of the go-spiffe cases: each verb is one scenario that prints a line per step for run.py to follow.
//
// It finds the Workload API as every go-spiffe program does, by SPIFFE_ENDPOINT_SOCKET.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// Whoever runs it waits less for what it waits for itself; what goes on until it is ended may last.
const patience = 10 * time.Minute

var scenarios = map[string]func(ctx context.Context, args []string) error{
	"rotate":   rotate,
	"serve":    serve,
	"dial":     dial,
	"jwt":      jwt,
	"bundles":  bundles,
	"watch":    watch,
	"answer":   answer,
	"call":     call,
	"fetch":    fetch,
	"follow":   follow,
	"grpc-map": grpcMap,
}

func main() {
	if len(os.Args) < 2 || scenarios[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: go-spiffe rotate|serve|dial|jwt|bundles|watch|answer|call|fetch|follow|grpc-map [ARGUMENT...]")
		os.Exit(2)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM)
	defer stop()
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
