// spire-server is SPIRE's own command line without the two commands that need the server itself (`run`, `validate`).
//
// Every command below is SPIRE's package as released; only this table is ours. SPIRE's own main can't be built from a
// module proxy alone: its server links a plugin whose module is not always to be had, and no client needs it.
package main

import (
	"fmt"
	"os"

	"github.com/mitchellh/cli"
	"github.com/spiffe/spire/cmd/spire-server/cli/agent"
	"github.com/spiffe/spire/cmd/spire-server/cli/bundle"
	"github.com/spiffe/spire/cmd/spire-server/cli/debug"
	"github.com/spiffe/spire/cmd/spire-server/cli/entry"
	"github.com/spiffe/spire/cmd/spire-server/cli/federation"
	"github.com/spiffe/spire/cmd/spire-server/cli/healthcheck"
	"github.com/spiffe/spire/cmd/spire-server/cli/jwt"
	jwtauthority "github.com/spiffe/spire/cmd/spire-server/cli/localauthority/jwt"
	x509authority "github.com/spiffe/spire/cmd/spire-server/cli/localauthority/x509"
	"github.com/spiffe/spire/cmd/spire-server/cli/logger"
	"github.com/spiffe/spire/cmd/spire-server/cli/token"
	"github.com/spiffe/spire/cmd/spire-server/cli/upstreamauthority"
	"github.com/spiffe/spire/cmd/spire-server/cli/x509"
)

var commands = map[string]func() cli.Command{
	"agent ban":                    agent.NewBanCommand,
	"agent count":                  agent.NewCountCommand,
	"agent evict":                  agent.NewEvictCommand,
	"agent list":                   agent.NewListCommand,
	"agent purge":                  agent.NewPurgeCommand,
	"agent show":                   agent.NewShowCommand,
	"bundle count":                 bundle.NewCountCommand,
	"bundle delete":                bundle.NewDeleteCommand,
	"bundle list":                  bundle.NewListCommand,
	"bundle set":                   bundle.NewSetCommand,
	"bundle show":                  bundle.NewShowCommand,
	"debug getinfo":                debug.NewGetInfoCommand,
	"entry count":                  entry.NewCountCommand,
	"entry create":                 entry.NewCreateCommand,
	"entry delete":                 entry.NewDeleteCommand,
	"entry show":                   entry.NewShowCommand,
	"entry update":                 entry.NewUpdateCommand,
	"federation create":            federation.NewCreateCommand,
	"federation delete":            federation.NewDeleteCommand,
	"federation list":              federation.NewListCommand,
	"federation refresh":           federation.NewRefreshCommand,
	"federation show":              federation.NewShowCommand,
	"federation update":            federation.NewUpdateCommand,
	"healthcheck":                  healthcheck.NewHealthCheckCommand,
	"jwt mint":                     jwt.NewMintCommand,
	"localauthority jwt activate":  jwtauthority.NewJWTActivateCommand,
	"localauthority jwt prepare":   jwtauthority.NewJWTPrepareCommand,
	"localauthority jwt revoke":    jwtauthority.NewJWTRevokeCommand,
	"localauthority jwt show":      jwtauthority.NewJWTShowCommand,
	"localauthority jwt taint":     jwtauthority.NewJWTTaintCommand,
	"localauthority x509 activate": x509authority.NewX509ActivateCommand,
	"localauthority x509 prepare":  x509authority.NewX509PrepareCommand,
	"localauthority x509 revoke":   x509authority.NewX509RevokeCommand,
	"localauthority x509 show":     x509authority.NewX509ShowCommand,
	"localauthority x509 taint":    x509authority.NewX509TaintCommand,
	"logger get":                   logger.NewGetCommand,
	"logger reset":                 logger.NewResetCommand,
	"logger set":                   logger.NewSetCommand,
	"token generate":               token.NewGenerateCommand,
	"upstreamauthority revoke":     upstreamauthority.NewRevokeCommand,
	"upstreamauthority taint":      upstreamauthority.NewTaintCommand,
	"x509 mint":                    x509.NewMintCommand,
}

func main() {
	line := cli.NewCLI("spire-server", "")
	line.Args = os.Args[1:]
	line.Commands = make(map[string]cli.CommandFactory, len(commands))
	for name, make := range commands {
		line.Commands[name] = func() (cli.Command, error) { return make(), nil }
	}
	status, err := line.Run()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(status)
}
