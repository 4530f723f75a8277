package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
)

// rotate waits until the source has a certificate other than its first one, with another key, and proves that both work.
func rotate(ctx context.Context, args []string) error {
	if err := arguments(args, 0); err != nil {
		return err
	}
	source, err := workloadapi.NewX509Source(ctx)
	if err != nil {
		return err
	}
	defer source.Close()
	first, err := verified(source)
	if err != nil {
		return err
	}
	say("svid %s", first.ID)
	if err := source.WaitUntilUpdated(ctx); err != nil {
		return fmt.Errorf("no rotation: %w", err)
	}
	for {
		second, err := verified(source)
		if err != nil {
			return err
		}
		if second.Certificates[0].SerialNumber.Cmp(first.Certificates[0].SerialNumber) == 0 {
			if err := source.WaitUntilUpdated(ctx); err != nil {
				return fmt.Errorf("no rotation: %w", err)
			}
			continue
		}
		if bytes.Equal(first.Certificates[0].RawSubjectPublicKeyInfo, second.Certificates[0].RawSubjectPublicKeyInfo) {
			return errors.New("the renewed certificate has the old key")
		}
		if !second.Certificates[0].NotAfter.After(first.Certificates[0].NotAfter) {
			return errors.New("the renewed certificate does not live longer than the old one")
		}
		say("rotated %s", second.ID)
		return nil
	}
}

// verified is the source's certificate, which must chain to the source's own bundle.
func verified(source *workloadapi.X509Source) (*x509svid.SVID, error) {
	svid, err := source.GetX509SVID()
	if err != nil {
		return nil, err
	}
	id, _, err := x509svid.Verify(svid.Certificates, source)
	if err != nil {
		return nil, fmt.Errorf("the certificate does not chain to the bundle: %w", err)
	}
	if id != svid.ID {
		return nil, fmt.Errorf("the certificate is for %s, the API says %s", id, svid.ID)
	}
	return svid, nil
}

// serve answers TLS connections of the workload named and says who came, until it is ended.
func serve(ctx context.Context, args []string) error {
	if err := arguments(args, 1); err != nil {
		return err
	}
	source, authorizer, err := mutual(ctx, args[0])
	if err != nil {
		return err
	}
	defer source.Close()
	listener, err := tls.Listen("tcp", "127.0.0.1:0", tlsconfig.MTLSServerConfig(source, source, authorizer))
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, func() { listener.Close() })
	say("listening %s", listener.Addr())
	for {
		connection, err := listener.Accept()
		if err != nil {
			return err
		}
		if err := greet(ctx, connection.(*tls.Conn)); err != nil {
			say("refused %v", err)
		}
	}
}

func greet(ctx context.Context, connection *tls.Conn) error {
	defer connection.Close()
	if err := connection.HandshakeContext(ctx); err != nil {
		return err
	}
	peer, err := x509svid.IDFromCert(connection.ConnectionState().PeerCertificates[0])
	if err != nil {
		return err
	}
	say("client %s", peer)
	_, err = io.WriteString(connection, "hello "+peer.String())
	return err
}

// dial connects to an address, expects the workload named there, and prints its greeting.
func dial(ctx context.Context, args []string) error {
	if err := arguments(args, 2); err != nil {
		return err
	}
	source, authorizer, err := mutual(ctx, args[1])
	if err != nil {
		return err
	}
	defer source.Close()
	raw, err := (&net.Dialer{}).DialContext(ctx, "tcp", args[0])
	if err != nil {
		return err
	}
	connection := tls.Client(raw, tlsconfig.MTLSClientConfig(source, source, authorizer))
	defer connection.Close()
	if err := connection.HandshakeContext(ctx); err != nil {
		return err
	}
	peer, err := x509svid.IDFromCert(connection.ConnectionState().PeerCertificates[0])
	if err != nil {
		return err
	}
	say("server %s", peer)
	// With TLS 1.3 a server's refusal arrives only with its first bytes.
	greeting, err := io.ReadAll(connection)
	if err != nil {
		return err
	}
	say("%s", greeting)
	return nil
}

func mutual(ctx context.Context, peer string) (*workloadapi.X509Source, tlsconfig.Authorizer, error) {
	id, err := spiffeid.FromString(peer)
	if err != nil {
		return nil, nil, err
	}
	source, err := workloadapi.NewX509Source(ctx)
	if err != nil {
		return nil, nil, err
	}
	return source, tlsconfig.AuthorizeID(id), nil
}
