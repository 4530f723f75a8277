module portcullis.example/interop/controller-manager

go 1.26

require (
	github.com/spiffe/go-spiffe/v2 v2.6.0
	github.com/spiffe/spire-controller-manager v0.6.4
	google.golang.org/grpc v1.79.2
)

require (
	github.com/go-jose/go-jose/v4 v4.1.3 // indirect
	github.com/go-logr/logr v1.4.3 // indirect
	github.com/spiffe/spire-api-sdk v1.14.1 // indirect
	golang.org/x/net v0.49.0 // indirect
	golang.org/x/sys v0.40.0 // indirect
	golang.org/x/text v0.33.0 // indirect
	google.golang.org/genproto/googleapis/rpc v0.0.0-20251202230838-ff82c1b0f217 // indirect
	google.golang.org/protobuf v1.36.11 // indirect
	sigs.k8s.io/controller-runtime v0.22.4 // indirect
)
