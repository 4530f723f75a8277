package main

import (
	"fmt"

	"github.com/transparency-dev/formats/log"
	formats "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// keys are those that must all have signed a checkpoint.
type keys struct {
	origin    string
	log       note.Verifier
	cosigners []note.Verifier
}

func newKeys(origin, logKey string, cosignerKeys []string) (*keys, error) {
	verifier, err := note.NewVerifier(logKey)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", logKey, err)
	}
	all := &keys{origin: origin, log: verifier}
	for _, key := range cosignerKeys {
		cosigner, err := formats.NewVerifier(key)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		all.cosigners = append(all.cosigners, cosigner)
	}
	return all, nil
}

// open verifies a checkpoint, with every signature that it must have, and returns the tree that it speaks of.
func (keys *keys) open(text []byte) (tlog.Tree, error) {
	checkpoint, _, opened, err := log.ParseCheckpoint(text, keys.origin, keys.log, keys.cosigners...)
	if err != nil {
		return tlog.Tree{}, err
	}
	if len(opened.Sigs) != 1+len(keys.cosigners) {
		return tlog.Tree{}, fmt.Errorf("%d of %d keys have signed", len(opened.Sigs), 1+len(keys.cosigners))
	}
	tree := tlog.Tree{N: int64(checkpoint.Size)}
	if copy(tree.Hash[:], checkpoint.Hash) != tlog.HashSize || len(checkpoint.Hash) != tlog.HashSize {
		return tlog.Tree{}, fmt.Errorf("a root of %d bytes", len(checkpoint.Hash))
	}
	return tree, nil
}
