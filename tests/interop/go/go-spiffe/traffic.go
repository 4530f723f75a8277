package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
)

const (
	pace       = 100 * time.Millisecond // between two calls
	callsATold = 5                      // after so many calls it says how many have passed
	answerTime = 30 * time.Second
)

// answer says hello to the workload named, over HTTPS, and to nobody else, until it is ended.
func answer(ctx context.Context, args []string) error {
	source, peer, err := tellState(ctx, args, 1)
	if err != nil {
		return err
	}
	defer source.Close()
	config := tlsconfig.MTLSServerConfig(source, source, tlsconfig.AuthorizeID(peer))
	config.SessionTicketsDisabled = true // each connection is verified by what is believed then
	listener, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: http.HandlerFunc(hello), ReadHeaderTimeout: answerTime}
	server.SetKeepAlivesEnabled(false)
	context.AfterFunc(ctx, func() { server.Close() })
	say("listening %s", listener.Addr())
	return server.Serve(listener)
}

func hello(answer http.ResponseWriter, request *http.Request) {
	id, err := x509svid.IDFromCert(request.TLS.PeerCertificates[0])
	if err != nil {
		http.Error(answer, err.Error(), http.StatusForbidden)
		return
	}
	io.WriteString(answer, "hello "+id.String())
}

// call asks a URL over and over, each time over a new connection on which both sides prove themselves, until it is ended.
// It must be greeted by its name each time; whatever else comes is said, and counted.
func call(ctx context.Context, args []string) error {
	source, peer, err := tellState(ctx, args, 2)
	if err != nil {
		return err
	}
	defer source.Close()
	client := &http.Client{Timeout: answerTime, Transport: &http.Transport{
		TLSClientConfig:   tlsconfig.MTLSClientConfig(source, source, tlsconfig.AuthorizeID(peer)),
		DisableKeepAlives: true,
		DialContext:       (&net.Dialer{Timeout: answerTime}).DialContext,
	}}
	passed, failed := 0, 0
	for ctx.Err() == nil {
		// Not with ctx: what has begun when the end is asked for is still counted.
		if err := greeted(client, source, args[0]); err != nil {
			failed++
			say("failed %v", err)
		} else if passed++; passed%callsATold == 0 {
			say("passed %d", passed)
		}
		select {
		case <-time.After(pace):
		case <-ctx.Done():
		}
	}
	say("done passed=%d failed=%d", passed, failed)
	return nil
}

func greeted(client *http.Client, source *workloadapi.X509Source, url string) error {
	svid, err := source.GetX509SVID()
	if err != nil {
		return err
	}
	response, err := client.Get(url)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if wanted := "hello " + svid.ID.String(); response.StatusCode != http.StatusOK || string(body) != wanted {
		return fmt.Errorf("answered with %s: %s", response.Status, body)
	}
	return nil
}

// tellState says who signed the workload's certificate, and by whom its peer's may be signed: now, and when that changes.
// The peer is the last of the arguments.
func tellState(ctx context.Context, args []string, wanted int) (*workloadapi.X509Source, spiffeid.ID, error) {
	if err := arguments(args, wanted); err != nil {
		return nil, spiffeid.ID{}, err
	}
	peer, err := spiffeid.FromString(args[wanted-1])
	if err != nil {
		return nil, spiffeid.ID{}, err
	}
	source, err := workloadapi.NewX509Source(ctx)
	if err != nil {
		return nil, spiffeid.ID{}, err
	}
	state := func() {
		svid, err := source.GetX509SVID()
		if err != nil {
			return
		}
		bundle, err := source.GetX509BundleForTrustDomain(peer.TrustDomain())
		if err != nil {
			bundle = x509bundle.New(peer.TrustDomain())
		}
		say("state signer=%x trusts=%s", svid.Certificates[0].AuthorityKeyId, identifiers(bundle.X509Authorities()))
	}
	state()
	go func() {
		for {
			select {
			case <-source.Updated():
				state()
			case <-ctx.Done():
				return
			}
		}
	}()
	return source, peer, nil
}

// identifiers are those of authorities, as SPIRE's commands have them.
func identifiers(authorities []*x509.Certificate) string {
	var names []string
	for _, authority := range authorities {
		names = append(names, hex.EncodeToString(authority.SubjectKeyId))
	}
	return strings.Join(names, ",")
}
