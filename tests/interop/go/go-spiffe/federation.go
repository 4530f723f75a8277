package main

import (
	"context"
	"crypto/x509"
	"fmt"
	"os"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
	"github.com/spiffe/go-spiffe/v2/federation"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// fetch gets the bundle of a trust domain once from its endpoint, and follow asks for it as often as the endpoint hints,
// until it is ended. Their arguments are the trust domain, the URL, and how the endpoint proves itself: a file with the
// Web's authorities, or a file with a first bundle and the endpoint's SPIFFE ID.
func fetch(ctx context.Context, args []string) error {
	domain, url, proof, _, err := endpoint(args)
	if err != nil {
		return err
	}
	bundle, err := federation.FetchBundle(ctx, domain, url, proof)
	if err != nil {
		return err
	}
	tell(bundle)
	return nil
}

func follow(ctx context.Context, args []string) error {
	domain, url, proof, believed, err := endpoint(args)
	if err != nil {
		return err
	}
	return federation.WatchBundle(ctx, domain, url, follower{believed}, proof)
}

func endpoint(args []string) (spiffeid.TrustDomain, string, federation.FetchOption, *spiffebundle.Set, error) {
	fail := func(err error) (spiffeid.TrustDomain, string, federation.FetchOption, *spiffebundle.Set, error) {
		return spiffeid.TrustDomain{}, "", nil, nil, err
	}
	if len(args) != 3 && len(args) != 4 {
		return fail(fmt.Errorf("this scenario takes 3 or 4 arguments, not %d", len(args)))
	}
	domain, err := spiffeid.TrustDomainFromString(args[0])
	if err != nil {
		return fail(err)
	}
	believed := spiffebundle.NewSet()
	if len(args) == 3 {
		pem, err := os.ReadFile(args[2])
		if err != nil {
			return fail(err)
		}
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(pem)
		return domain, args[1], federation.WithWebPKIRoots(roots), believed, nil
	}
	first, err := spiffebundle.Load(domain, args[2])
	if err != nil {
		return fail(err)
	}
	believed.Add(first)
	id, err := spiffeid.FromString(args[3])
	if err != nil {
		return fail(err)
	}
	return domain, args[1], federation.WithSPIFFEAuth(believed, id), believed, nil
}

// follower believes each bundle that comes, so that the endpoint is verified by the latest.
type follower struct {
	believed *spiffebundle.Set
}

func (f follower) NextRefresh(hint time.Duration) time.Duration {
	return max(hint, time.Second)
}

func (f follower) OnUpdate(bundle *spiffebundle.Bundle) {
	f.believed.Add(bundle)
	tell(bundle)
}

func (f follower) OnError(err error) {
	say("error %v", err)
}

func tell(bundle *spiffebundle.Bundle) {
	sequence, _ := bundle.SequenceNumber()
	hint, _ := bundle.RefreshHint()
	authorities, tokens := identifiers(bundle.X509Authorities()), len(bundle.JWTAuthorities())
	say("bundle sequence=%d hint=%s x509=%s jwt=%d", sequence, hint, authorities, tokens)
}
