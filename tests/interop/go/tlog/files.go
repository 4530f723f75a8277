package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

const height = 8

// directoryTiles reads tiles from files, at the paths of tlog-tiles: those of Go's checksum database without the height,
// with "entries" for its "data".
type directoryTiles string

func path(tile tlog.Tile) string {
	return strings.Replace(strings.Replace(tile.Path(), "tile/8/", "tile/", 1), "tile/data/", "tile/entries/", 1)
}

func (directory directoryTiles) read(name string) ([]byte, error) {
	return os.ReadFile(filepath.Join(string(directory), name))
}

func (directory directoryTiles) Height() int { return height }

func (directory directoryTiles) SaveTiles([]tlog.Tile, [][]byte) {}

func (directory directoryTiles) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var all [][]byte
	for _, tile := range tiles {
		data, err := directory.read(path(tile))
		if err != nil {
			return nil, err
		}
		all = append(all, data)
	}
	return all, nil
}

// entries reads the bundle number n of a log of that size, which must have exactly as many entries as it should.
func (directory directoryTiles) entries(n, size int64) ([][]byte, error) {
	width := min(size-n<<height, 1<<height)
	name := path(tlog.Tile{H: height, L: -1, N: n, W: int(width)})
	rest, err := directory.read(name)
	if err != nil {
		return nil, err
	}
	var entries [][]byte
	for len(rest) > 0 {
		if len(rest) < 2 || len(rest) < 2+int(binary.BigEndian.Uint16(rest)) {
			return nil, fmt.Errorf("%s ends within an entry", name)
		}
		length := 2 + int(binary.BigEndian.Uint16(rest))
		entries = append(entries, rest[2:length])
		rest = rest[length:]
	}
	if int64(len(entries)) != width {
		return nil, fmt.Errorf("%s has %d entries instead of %d", name, len(entries), width)
	}
	return entries, nil
}

// list names the files in a directory of the log; there may be none.
func (directory directoryTiles) list(name string) ([]string, error) {
	found, err := os.ReadDir(filepath.Join(string(directory), name))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	var names []string
	for _, entry := range found {
		names = append(names, name+"/"+entry.Name())
	}
	return names, err
}
