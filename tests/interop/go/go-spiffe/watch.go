package main

import (
	"context"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
	"google.golang.org/grpc/status"
)

// bundles expects X.509 and JWT authorities of each trust domain named.
func bundles(ctx context.Context, args []string) error {
	for _, name := range args {
		domain, err := spiffeid.TrustDomainFromString(name)
		if err != nil {
			return err
		}
		certificates, err := workloadapi.FetchX509Bundles(ctx)
		if err != nil {
			return err
		}
		authorities, err := certificates.GetX509BundleForTrustDomain(domain)
		if err != nil {
			return err
		}
		sets, err := workloadapi.FetchJWTBundles(ctx)
		if err != nil {
			return err
		}
		keys, err := sets.GetJWTBundleForTrustDomain(domain)
		if err != nil {
			return err
		}
		say("bundle %s x509=%d jwt=%d", domain, len(authorities.X509Authorities()), len(keys.JWTAuthorities()))
	}
	return nil
}

// watch prints each update and each failure of a watcher until it is ended.
func watch(ctx context.Context, args []string) error {
	if err := arguments(args, 0); err != nil {
		return err
	}
	return workloadapi.WatchX509Context(ctx, printer{})
}

type printer struct{}

func (printer) OnX509ContextUpdate(update *workloadapi.X509Context) {
	say("update %s", update.DefaultSVID().ID)
}

func (printer) OnX509ContextWatchError(err error) {
	say("error %s: %s", status.Code(err), status.Convert(err).Message())
}
