// Verifies the tokens that it is given, one a line, as go-oidc's users do: by the keys that an OpenID provider names.
//
// Usage: go-oidc ISSUER AUDIENCE AUTHORITIES
package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"

	"github.com/coreos/go-oidc/v3/oidc"
)

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: go-oidc ISSUER AUDIENCE AUTHORITIES")
		os.Exit(2)
	}
	if err := verify(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func verify(issuer, audience, authorities string) error {
	pem, err := os.ReadFile(authorities)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	ctx := oidc.ClientContext(context.Background(), client)
	provider, err := oidc.NewProvider(ctx, issuer)
	if err != nil {
		return err
	}
	verifier := provider.Verifier(&oidc.Config{ClientID: audience})
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		if token, err := verifier.Verify(ctx, lines.Text()); err != nil {
			fmt.Printf("refused %v\n", err)
		} else {
			fmt.Printf("valid %s\n", token.Subject)
		}
	}
	return lines.Err()
}
