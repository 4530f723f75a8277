package main

import (
	"bytes"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"
)

// checkEntries reads every leaf out of the tiles, which the library verifies up to the root, and compares the entries
// with them.
func checkEntries(files directoryTiles, tree tlog.Tree) error {
	reader := tlog.TileHashReader(tree, files)
	bundles := int64(0)
	for n := int64(0); n<<height < tree.N; n++ {
		entries, err := files.entries(n, tree.N)
		if err != nil {
			return err
		}
		var indexes []int64
		for i := range entries {
			indexes = append(indexes, tlog.StoredHashIndex(0, n<<height+int64(i)))
		}
		leaves, err := reader.ReadHashes(indexes)
		if err != nil {
			return fmt.Errorf("the leaves of bundle %d: %w", n, err)
		}
		for i, entry := range entries {
			if tlog.RecordHash(entry) != leaves[i] {
				return fmt.Errorf("entry %d is not the one in the tree", n<<height+int64(i))
			}
		}
		bundles++
	}
	say("entries %d in %d bundles are those in the tree", tree.N, bundles)
	return nil
}

// checkTiles makes the tree anew from the entries alone, and compares its root and every tile.
func checkTiles(files directoryTiles, tree tlog.Tree) error {
	var stored memory
	for n := int64(0); n<<height < tree.N; n++ {
		entries, err := files.entries(n, tree.N)
		if err != nil {
			return err
		}
		for i, entry := range entries {
			hashes, err := tlog.StoredHashes(n<<height+int64(i), entry, stored)
			if err != nil {
				return err
			}
			stored = append(stored, hashes...)
		}
	}
	root, err := tlog.TreeHash(tree.N, stored)
	if err != nil || root != tree.Hash {
		return fmt.Errorf("the entries make the root %v, not %v: %v", root, tree.Hash, err)
	}
	tiles := tlog.NewTiles(height, 0, tree.N)
	for _, tile := range tiles {
		expected, err := tlog.ReadTileData(tile, stored)
		if err != nil {
			return err
		}
		found, err := files.read(path(tile))
		if err != nil {
			return err
		}
		if !bytes.Equal(found, expected) {
			return fmt.Errorf("%s is not what the entries make", path(tile))
		}
	}
	say("tiles %d are what the entries make", len(tiles))
	return nil
}

// checkHistory proves that the tree continues every earlier one.
func checkHistory(files directoryTiles, tree tlog.Tree, keys *keys) error {
	names, err := files.list("history")
	if err != nil {
		return err
	}
	reader := tlog.TileHashReader(tree, files)
	for _, name := range names {
		text, err := files.read(name)
		if err != nil {
			return err
		}
		old, err := keys.open(text)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if err := continues(reader, tree, old); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		say("consistent %d with %d", tree.N, old.N)
	}
	return nil
}

func continues(reader tlog.HashReader, tree, old tlog.Tree) error {
	if old.N == 0 {
		empty, err := tlog.TreeHash(0, reader)
		if err == nil && empty != old.Hash {
			return fmt.Errorf("the empty tree has another root")
		}
		return err
	}
	proof, err := tlog.ProveTree(tree.N, old.N, reader)
	if err != nil {
		return err
	}
	return tlog.CheckTree(proof, tree.N, tree.Hash, old.N, old.Hash)
}

// memory holds all hashes of a tree.
type memory []tlog.Hash

func (stored memory) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	var hashes []tlog.Hash
	for _, index := range indexes {
		if index >= int64(len(stored)) {
			return nil, fmt.Errorf("no hash %d yet", index)
		}
		hashes = append(hashes, stored[index])
	}
	return hashes, nil
}
