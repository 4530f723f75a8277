package main

import (
	"context"
	"sort"
	"strings"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
	"google.golang.org/grpc/credentials/tls/certprovider/pemfile"
)

// grpcMap reads a bundle map as gRPC does where it verifies peers by one (gRFC A87), and says what is in it whenever that
// is something else, until it is ended.
func grpcMap(ctx context.Context, args []string) error {
	if err := arguments(args, 1); err != nil {
		return err
	}
	often := 100 * time.Millisecond
	provider, err := pemfile.NewProvider(pemfile.Options{SPIFFEBundleMapFile: args[0], RefreshDuration: often})
	if err != nil {
		return err
	}
	defer provider.Close()
	told := ""
	for ctx.Err() == nil {
		material, err := provider.KeyMaterial(ctx)
		if err != nil {
			return err
		}
		if found := describe(material.SPIFFEBundleMap); found != told {
			say("map %s", found)
			told = found
		}
		time.Sleep(often)
	}
	return nil
}

func describe(bundles map[string]*spiffebundle.Bundle) string {
	var found []string
	for domain, bundle := range bundles {
		found = append(found, domain+"="+identifiers(bundle.X509Authorities()))
	}
	sort.Strings(found)
	return strings.Join(found, " ")
}
