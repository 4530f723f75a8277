// A witness and a log's client of witnesses, as transparency-dev has published them, around which this is but a main:
//
//	witness serve LOG-VKEY                                  cosigns that log, until its standard input ends
//	witness feed URL WITNESS-VKEY ORIGIN LOG-VKEY DIRECTORY has a witness cosign all checkpoints in a directory
//
// `serve` prints where it listens and the key that verifies its cosignatures. `feed` gives the checkpoints in
// DIRECTORY/history, and the latest, to the witness in order of their sizes, with proofs made of the tiles beside them, then
// one that does not fit, and prints a line for each answer.
package main

import (
	"fmt"
	"os"
)

func main() {
	var err error
	switch arguments := os.Args[1:]; {
	case len(arguments) == 2 && arguments[0] == "serve":
		err = serve(arguments[1])
	case len(arguments) == 6 && arguments[0] == "feed":
		err = feed(arguments[1], arguments[2], arguments[3], arguments[4], arguments[5])
	default:
		fmt.Fprintln(os.Stderr, "usage: witness serve LOG-VKEY | witness feed URL WITNESS-VKEY ORIGIN LOG-VKEY DIRECTORY")
		os.Exit(2)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func say(format string, arguments ...any) {
	fmt.Printf(format+"\n", arguments...)
}
