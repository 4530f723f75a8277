// spire-controller-manager's own client of SPIRE's server API, put through what the controller does with it: the probe
// for fields that a server does not keep, its cycle of entries and of federation relationships, its webhook's certificate.
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/spire-controller-manager/pkg/spireapi"
	"google.golang.org/grpc/codes"
)

// More than the controller sends in one batch (50) and fewer than a page, so that several batches are needed.
const entries = 120

var (
	domain    = spiffeid.RequireTrustDomainFromString("example.org")
	foreign   = spiffeid.RequireTrustDomainFromString("controller.example")
	scenarios = map[string]func(context.Context, spireapi.Client) error{
		"fields": fields, "entries": cycleEntries, "federation": cycleFederation, "webhook": mintWebhook,
	}
)

func main() {
	if len(os.Args) != 3 || scenarios[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: controller-manager fields|entries|federation|webhook SOCKET")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(scenario, socket string) error {
	client, err := spireapi.DialSocket(socket, nil)
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	return scenarios[scenario](ctx, client)
}

// fields fails if the server drops a field of an entry: the controller would then never set it.
func fields(ctx context.Context, client spireapi.Client) error {
	for range 2 { // a second time, because the first must have taken its entry away
		dropped, err := client.GetUnsupportedFields(ctx, domain.Name())
		if err != nil {
			return err
		}
		if len(dropped) > 0 {
			return fmt.Errorf("the server drops %v", dropped)
		}
	}
	listed, err := client.ListEntries(ctx)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(listed, func(e spireapi.Entry) bool {
		return e.SPIFFEID.Path() == "/spire-controller-manager/unsupported-fields-test"
	}) {
		return errors.New("the probe's entry is still there")
	}
	fmt.Println("every field is kept")
	return nil
}

func cycleEntries(ctx context.Context, client spireapi.Client) error {
	wanted := make([]spireapi.Entry, entries)
	for i := range wanted {
		wanted[i] = spireapi.Entry{
			ID:          fmt.Sprintf("controller.%d", i),
			SPIFFEID:    spiffeid.RequireFromPathf(domain, "/controller/%d", i),
			ParentID:    spiffeid.RequireFromPath(domain, "/node"),
			Selectors:   []spireapi.Selector{{Type: "k8s", Value: fmt.Sprintf("pod-uid:%d", i)}},
			X509SVIDTTL: time.Hour,
			DNSNames:    []string{"a.example", "b.example"},
			Hint:        "pod",
		}
	}
	if err := all(codes.OK)(client.CreateEntries(ctx, wanted)); err != nil {
		return fmt.Errorf("create: %w", err)
	}
	if err := all(codes.AlreadyExists)(client.CreateEntries(ctx, wanted)); err != nil {
		return fmt.Errorf("create again: %w", err)
	}
	for i := range wanted {
		wanted[i].X509SVIDTTL = 2 * time.Hour
		wanted[i].Hint = ""
	}
	if err := all(codes.OK)(client.UpdateEntries(ctx, wanted)); err != nil {
		return fmt.Errorf("update: %w", err)
	}
	if err := sameEntries(ctx, client, wanted); err != nil {
		return err
	}
	ids := make([]string, entries)
	for i, entry := range wanted {
		ids[i] = entry.ID
	}
	if err := all(codes.OK)(client.DeleteEntries(ctx, ids)); err != nil {
		return fmt.Errorf("delete: %w", err)
	}
	if err := all(codes.NotFound)(client.DeleteEntries(ctx, ids)); err != nil {
		return fmt.Errorf("delete again: %w", err)
	}
	fmt.Printf("%d entries made, changed, listed and deleted\n", entries)
	return nil
}

func sameEntries(ctx context.Context, client spireapi.Client, wanted []spireapi.Entry) error {
	listed, err := client.ListEntries(ctx)
	if err != nil {
		return fmt.Errorf("list: %w", err)
	}
	found := make(map[string]spireapi.Entry, len(listed))
	for _, entry := range listed {
		found[entry.ID] = entry
	}
	for _, entry := range wanted {
		if got := fmt.Sprint(found[entry.ID]); got != fmt.Sprint(entry) {
			return fmt.Errorf("sent %v, listed %s", entry, got)
		}
	}
	return nil
}

func cycleFederation(ctx context.Context, client spireapi.Client) error {
	relationship := spireapi.FederationRelationship{
		TrustDomain:           foreign,
		BundleEndpointURL:     "https://127.0.0.1:1/bundle",
		BundleEndpointProfile: spireapi.HTTPSWebProfile{},
	}
	if err := all(codes.OK)(client.CreateFederationRelationships(ctx, []spireapi.FederationRelationship{relationship})); err != nil {
		return fmt.Errorf("create: %w", err)
	}
	relationship.BundleEndpointProfile = spireapi.HTTPSSPIFFEProfile{EndpointSPIFFEID: spiffeid.RequireFromPath(foreign, "/bundle")}
	relationship.BundleEndpointURL = "https://127.0.0.1:2/bundle"
	if err := all(codes.OK)(client.UpdateFederationRelationships(ctx, []spireapi.FederationRelationship{relationship})); err != nil {
		return fmt.Errorf("update: %w", err)
	}
	listed, err := client.ListFederationRelationships(ctx)
	if err != nil {
		return fmt.Errorf("list: %w", err)
	}
	if !slices.ContainsFunc(listed, relationship.Equal) {
		return fmt.Errorf("sent %v, listed %v", relationship, listed)
	}
	if err := all(codes.OK)(client.DeleteFederationRelationships(ctx, []spiffeid.TrustDomain{foreign})); err != nil {
		return fmt.Errorf("delete: %w", err)
	}
	if err := all(codes.NotFound)(client.DeleteFederationRelationships(ctx, []spiffeid.TrustDomain{foreign})); err != nil {
		return fmt.Errorf("delete again: %w", err)
	}
	fmt.Println("a relationship made, changed, listed and deleted")
	return nil
}

// mintWebhook gets the certificate that Kubernetes must be able to verify as a web server's.
func mintWebhook(ctx context.Context, client spireapi.Client) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	const name = "controller-manager-webhook-service.spire.svc"
	id := spiffeid.RequireFromPath(domain, "/spire-controller-manager-webhook")
	svid, err := client.MintX509SVID(ctx, spireapi.X509SVIDParams{Key: key, ID: id, DNSNames: []string{name}})
	if err != nil {
		return err
	}
	bundle, err := client.GetBundle(ctx)
	if err != nil {
		return err
	}
	roots, intermediates := x509.NewCertPool(), x509.NewCertPool()
	for _, authority := range bundle.X509Authorities() {
		roots.AddCert(authority)
	}
	for _, certificate := range svid.CertChain[1:] {
		intermediates.AddCert(certificate)
	}
	leaf := svid.CertChain[0]
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: intermediates, DNSName: name}); err != nil {
		return err
	}
	if !slices.EqualFunc(leaf.URIs, []string{id.String()}, func(uri *url.URL, want string) bool { return uri.String() == want }) {
		return fmt.Errorf("the certificate names %v", leaf.URIs)
	}
	if !key.PublicKey.Equal(leaf.PublicKey) {
		return errors.New("the certificate is for another key")
	}
	fmt.Printf("minted %s for %s\n", id, name)
	return nil
}

// all turns the statuses of a batch into an error unless each has the code wanted.
func all(want codes.Code) func([]spireapi.Status, error) error {
	return func(statuses []spireapi.Status, err error) error {
		if err != nil {
			return err
		}
		for i, status := range statuses {
			if status.Code != want {
				return fmt.Errorf("item %d: wanted %s, got %s: %s", i, want, status.Code, status.Message)
			}
		}
		if len(statuses) == 0 {
			return errors.New("no statuses")
		}
		return nil
	}
}
