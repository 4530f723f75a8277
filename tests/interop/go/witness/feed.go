package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"sort"

	"github.com/transparency-dev/formats/log"
	fnote "github.com/transparency-dev/formats/note"
	client "github.com/transparency-dev/witness/client/http"
	"github.com/transparency-dev/witness/witness"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type checkpoint struct {
	text []byte
	size uint64
}

func feed(address, witnessKey, origin, logKey, directory string) error {
	verifier, err := note.NewVerifier(logKey)
	if err != nil {
		return err
	}
	cosigned, err := fnote.NewVerifierForCosignatureV1(witnessKey)
	if err != nil {
		return err
	}
	target, err := url.Parse(address)
	if err != nil {
		return err
	}
	checkpoints, err := read(directory, origin, verifier)
	if err != nil {
		return err
	}
	asked := client.NewWitness(target, http.DefaultClient)
	var last uint64
	for _, next := range checkpoints {
		// A witness that knows more says so.
		if last > 0 {
			_, size, err := asked.Update(context.Background(), 0, next.text, nil)
			if !errors.Is(err, witness.ErrCheckpointStale) || size != last {
				return fmt.Errorf("from 0, the witness should have %d, and says %d: %v", last, size, err)
			}
			say("conflict %d", size)
		}
		proof, err := prove(directory, last, next.size)
		if err != nil {
			return err
		}
		lines, _, err := asked.Update(context.Background(), last, next.text, proof)
		if err != nil {
			return fmt.Errorf("from %d to %d: %w", last, next.size, err)
		}
		whole := append(append([]byte{}, next.text...), lines...)
		if _, _, _, err := log.ParseCheckpoint(whole, origin, verifier, cosigned); err != nil {
			return fmt.Errorf("the answer for %d: %w", next.size, err)
		}
		if opened, err := note.Open(whole, note.VerifierList(cosigned)); err != nil || len(opened.Sigs) != 1 {
			return fmt.Errorf("the cosignature of %d: %w", next.size, err)
		}
		say("cosigned %d from %d", next.size, last)
		last = next.size
	}
	return refused(asked, checkpoints, directory)
}

// A proof of which one bit is wrong.
func refused(asked client.Witness, checkpoints []checkpoint, directory string) error {
	latest := checkpoints[len(checkpoints)-1]
	_, _, err := asked.Update(context.Background(), latest.size, latest.text, [][]byte{make([]byte, 32)})
	if err == nil {
		return errors.New("a proof that is none was accepted")
	}
	say("refused %v", err)
	return nil
}

func read(directory, origin string, verifier note.Verifier) ([]checkpoint, error) {
	files, err := filepath.Glob(filepath.Join(directory, "history", "*"))
	if err != nil {
		return nil, err
	}
	var all []checkpoint
	seen := map[uint64]bool{0: true}
	for _, file := range append(files, filepath.Join(directory, "checkpoint")) {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		parsed, _, _, err := log.ParseCheckpoint(text, origin, verifier)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		if !seen[parsed.Size] {
			seen[parsed.Size] = true
			all = append(all, checkpoint{text, parsed.Size})
		}
	}
	sort.Slice(all, func(i, j int) bool { return all[i].size < all[j].size })
	return all, nil
}

func prove(directory string, from, to uint64) ([][]byte, error) {
	if from == 0 || from == to {
		return nil, nil
	}
	proof, err := tlog.ProveTree(int64(to), int64(from), hashes{directory, int64(to)})
	if err != nil {
		return nil, err
	}
	lines := make([][]byte, len(proof))
	for i, hash := range proof {
		lines[i] = append([]byte{}, hash[:]...)
	}
	return lines, nil
}

// Reads a tree's hashes out of the tiles of C2SP's tlog-tiles.
type hashes struct {
	directory string
	size      int64
}

func (h hashes) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	found := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		tile := tlog.TileForIndex(8, index)
		bytes, err := h.tile(tile)
		if err != nil {
			return nil, err
		}
		if found[i], err = tlog.HashFromTile(tile, bytes, index); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// The tile as it is there: full, or as wide as the tree has it.
func (h hashes) tile(tile tlog.Tile) ([]byte, error) {
	width := (h.size >> (8 * tile.L)) - tile.N*256
	for _, w := range []int64{256, min(width, 256)} {
		there := tlog.Tile{H: 8, L: tile.L, N: tile.N, W: int(w)}
		path := "tile/" + there.Path()[len("tile/8/"):]
		if bytes, err := os.ReadFile(filepath.Join(h.directory, path)); err == nil {
			return bytes[:tile.W*tlog.HashSize], nil
		}
	}
	return nil, fmt.Errorf("no tile %v", tile)
}
