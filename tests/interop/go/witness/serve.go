package main

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"

	fnote "github.com/transparency-dev/formats/note"
	"github.com/transparency-dev/witness/api"
	"github.com/transparency-dev/witness/persistence/inmemory"
	"github.com/transparency-dev/witness/witness"
	"golang.org/x/mod/sumdb/note"
)

const name = "witness.example/transparency-dev"

// The type of an Ed25519 key that cosigns (C2SP signed-note, "Signature types").
const cosigns = 4

func serve(logKey string) error {
	verifier, err := note.NewVerifier(logKey)
	if err != nil {
		return err
	}
	signer, key, err := newKey()
	if err != nil {
		return err
	}
	known := func(_ context.Context, origin string) (note.Verifier, bool, error) {
		return verifier, origin == verifier.Name(), nil
	}
	options := witness.Opts{Persistence: inmemory.New(), Signers: []note.Signer{signer}, VerifierForLog: known}
	made, err := witness.New(context.Background(), options)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	routes := http.NewServeMux()
	routes.HandleFunc("POST /"+strings.TrimPrefix(api.HTTPAddCheckpoint, "/"), witness.NewHTTPHandler(made).AddCheckpoint)
	go http.Serve(listener, routes)
	say("url http://%s", listener.Addr())
	say("key %s", key)
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// A key of its own, and what verifies it as the key of a witness.
func newKey() (note.Signer, string, error) {
	private, public, err := note.GenerateKey(nil, name)
	if err != nil {
		return nil, "", err
	}
	signer, err := fnote.NewSignerForCosignatureV1(private)
	if err != nil {
		return nil, "", err
	}
	encoded := public[strings.LastIndex(public, "+")+1:]
	typed, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return nil, "", err
	}
	typed[0] = cosigns
	key := fmt.Sprintf("%s+%08x+%s", name, signer.KeyHash(), base64.StdEncoding.EncodeToString(typed))
	return signer, key, nil
}
