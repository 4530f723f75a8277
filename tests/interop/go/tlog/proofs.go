package main

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

const proofHeader = "c2sp.org/tlog-proof@v1"

// checkProofs verifies the proofs that the log has written, each with its entry and the checkpoint in it.
func checkProofs(files directoryTiles, tree tlog.Tree, keys *keys) error {
	names, err := files.list("proofs")
	if err != nil {
		return err
	}
	for _, name := range names {
		text, err := files.read(name)
		if err == nil {
			err = checkProof(files, tree, keys, text)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func checkProof(files directoryTiles, tree tlog.Tree, keys *keys, text []byte) error {
	head, checkpoint, found := bytes.Cut(text, []byte("\n\n"))
	lines := strings.Split(string(head), "\n")
	if !found || len(lines) < 2 || lines[0] != proofHeader {
		return fmt.Errorf("not a proof")
	}
	// What a receipt of Portcullis carries beside the proof: the entry itself.
	if strings.HasPrefix(lines[1], "extra ") {
		lines = lines[1:]
	}
	if len(lines) < 2 {
		return fmt.Errorf("not a proof")
	}
	index, err := strconv.ParseInt(strings.TrimPrefix(lines[1], "index "), 10, 64)
	if err != nil {
		return err
	}
	proof := tlog.RecordProof{}
	for _, line := range lines[2:] {
		hash, err := tlog.ParseHash(line)
		if err != nil {
			return err
		}
		proof = append(proof, hash)
	}
	proven, err := keys.open(checkpoint)
	if err != nil {
		return err
	}
	if proven.N > tree.N || index >= proven.N {
		return fmt.Errorf("entry %d of %d", index, proven.N)
	}
	entries, err := files.entries(index>>height, tree.N)
	if err != nil {
		return err
	}
	leaf := tlog.RecordHash(entries[index%(1<<height)])
	if err := tlog.CheckRecord(proof, proven.N, proven.Hash, index, leaf); err != nil {
		return err
	}
	say("proof of %d in %d", index, proven.N)
	return nil
}
