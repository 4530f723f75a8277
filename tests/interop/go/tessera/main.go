// A log of Tessera's, as transparency-dev has published it, that has a witness cosign each of its checkpoints before it
// publishes it. This is but a main around it:
//
//	tessera key NAME                                       makes a key: prints the private one, then the public one
//	tessera grow DIRECTORY PRIVATE-KEY WITNESS-URL VKEY    grows the log entry by entry, and prints each checkpoint's size
package main

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/transparency-dev/tessera"
	"github.com/transparency-dev/tessera/storage/posix"
	"golang.org/x/mod/sumdb/note"
)

// How many entries are added. Each waits for a checkpoint that is cosigned.
const entries = 5

func main() {
	var err error
	switch arguments := os.Args[1:]; {
	case len(arguments) == 2 && arguments[0] == "key":
		err = key(arguments[1])
	case len(arguments) == 5 && arguments[0] == "grow":
		err = grow(arguments[1], arguments[2], arguments[3], arguments[4])
	default:
		fmt.Fprintln(os.Stderr, "usage: tessera key NAME | tessera grow DIRECTORY PRIVATE-KEY WITNESS-URL VKEY")
		os.Exit(2)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func key(name string) error {
	private, public, err := note.GenerateKey(nil, name)
	if err == nil {
		fmt.Printf("%s\n%s\n", private, public)
	}
	return err
}

func grow(directory, private, address, witnessKey string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Second)
	defer cancel()
	signer, err := note.NewSigner(private)
	if err != nil {
		return err
	}
	target, err := url.Parse(address)
	if err != nil {
		return err
	}
	witness, err := tessera.NewWitness(witnessKey, target)
	if err != nil {
		return err
	}
	driver, err := posix.New(ctx, posix.Config{Path: directory})
	if err != nil {
		return err
	}
	options := tessera.NewAppendOptions().
		WithCheckpointSigner(signer).
		WithCheckpointInterval(200*time.Millisecond).
		WithBatching(1, 100*time.Millisecond).
		WithWitnesses(tessera.NewWitnessGroup(1, witness), &tessera.WitnessOptions{Timeout: 10 * time.Second})
	appender, shutdown, reader, err := tessera.NewAppender(ctx, driver, options)
	if err != nil {
		return err
	}
	awaiter := tessera.NewPublicationAwaiter(ctx, reader.ReadCheckpoint, 50*time.Millisecond)
	for number := range entries {
		entry := tessera.NewEntry(fmt.Appendf(nil, "entry %d", number))
		_, checkpoint, err := awaiter.Await(ctx, appender.Add(ctx, entry))
		if err != nil {
			return err
		}
		text := string(checkpoint)
		fmt.Printf("published %s with %d signatures\n", strings.Split(text, "\n")[1], strings.Count(text, "\n— "))
	}
	return shutdown(ctx)
}
