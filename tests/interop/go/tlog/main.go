// Checks a log in a directory with what others have published: the notes and trees of Go's checksum database, and the
// checkpoints and cosignatures of transparency-dev. It prints a line for each check and ends with an error at the first
// that fails.
//
// Of the directory it reads what tlog-tiles describes, and if they are there `history/*`, earlier checkpoints of the same
// log, and `proofs/*.tlog-proof`.
package main

import (
	"fmt"
	"os"
)

func main() {
	if len(os.Args) < 4 {
		fmt.Fprintln(os.Stderr, "usage: tlog DIRECTORY ORIGIN LOG-VKEY [COSIGNER-VKEY...]")
		os.Exit(2)
	}
	if err := verify(os.Args[1], os.Args[2], os.Args[3], os.Args[4:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func verify(directory, origin, logKey string, cosignerKeys []string) error {
	keys, err := newKeys(origin, logKey, cosignerKeys)
	if err != nil {
		return err
	}
	files := directoryTiles(directory)
	text, err := files.read("checkpoint")
	if err != nil {
		return err
	}
	tree, err := keys.open(text)
	if err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	say("checkpoint %s %d %s signed by %d keys", origin, tree.N, tree.Hash, 1+len(cosignerKeys))
	for _, check := range []func() error{
		func() error { return checkEntries(files, tree) },
		func() error { return checkTiles(files, tree) },
		func() error { return checkHistory(files, tree, keys) },
		func() error { return checkProofs(files, tree, keys) },
	} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

func say(format string, arguments ...any) {
	fmt.Printf(format+"\n", arguments...)
}
