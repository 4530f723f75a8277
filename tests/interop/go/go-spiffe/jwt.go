package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
)

// jwt fetches a token, validates it by itself and by the API, and expects both to refuse it for another audience.
func jwt(ctx context.Context, args []string) error {
	if err := arguments(args, 0); err != nil {
		return err
	}
	source, err := workloadapi.NewJWTSource(ctx)
	if err != nil {
		return err
	}
	defer source.Close()
	svid, err := source.FetchJWTSVID(ctx, jwtsvid.Params{Audience: "billing", ExtraAudiences: []string{"ledger"}})
	if err != nil {
		return err
	}
	token := svid.Marshal()
	for _, audience := range []string{"billing", "ledger"} {
		mine, err := jwtsvid.ParseAndValidate(token, source, []string{audience})
		if err != nil {
			return fmt.Errorf("the library refuses the token for %s: %w", audience, err)
		}
		theirs, err := workloadapi.ValidateJWTSVID(ctx, token, audience)
		if err != nil {
			return fmt.Errorf("the API refuses the token for %s: %w", audience, err)
		}
		if mine.ID != svid.ID || theirs.ID != svid.ID {
			return fmt.Errorf("three subjects: %s, %s, %s", svid.ID, mine.ID, theirs.ID)
		}
	}
	say("valid %s", svid.ID)
	if _, err := jwtsvid.ParseAndValidate(token, source, []string{"other"}); err == nil {
		return errors.New("the library takes the token for another audience")
	}
	if _, err := workloadapi.ValidateJWTSVID(ctx, token, "other"); err == nil {
		return errors.New("the API takes the token for another audience")
	}
	if _, err := source.FetchJWTSVID(ctx, jwtsvid.Params{Audience: "billing", Subject: svid.ID}); err != nil {
		return fmt.Errorf("no token by subject: %w", err)
	}
	say("refused another audience")
	return nil
}
