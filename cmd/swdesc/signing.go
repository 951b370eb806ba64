package main

import (
	"crypto"
	"crypto/x509"
	"time"

	"github.com/spf13/pflag"

	"github.com/tegra-ota/tegra-ota/internal/cli"
	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/swdesc/sign"
)

func signingFlags(f *pflag.FlagSet) {
	f.String("key", "", "sign with the private key in `FILE` (PEM)")
	f.String("cert", "", "`FILE` with the signer's certificate, and those between it and the CA; for rsa and pss a public key will do")
	f.String("sign-command", "", "sign by shell `COMMAND`: what is signed on its stdin, the raw signature on its stdout")
	f.String("signature", string(sign.CMS), "`KIND` of signature: cms (Debian, most distributions), rsa (PKCS#1 v1.5) or pss")
	f.Bool("signing-time", false, "put the time into a cms signature, which then differs each time")
}

// signing makes sense of the flags; nil if nobody is to sign.
func signing(in *cli.Invocation) (*sign.Options, error) {
	key, cert, command := in.Text("key"), in.Text("cert"), in.Text("sign-command")
	format, err := sign.ParseFormat(in.Text("signature"))
	if err != nil {
		return nil, usageError(in, "%w", err)
	}
	switch {
	case key == "" && command == "":
		for _, name := range []string{"cert", "signature", "signing-time"} {
			if in.Flags.Changed(name) {
				return nil, usageError(in, "cannot sign with --%s alone: want --key or --sign-command", name)
			}
		}
		return nil, nil
	case key != "" && command != "":
		return nil, usageError(in, "cannot sign with both --key and --sign-command")
	case cert == "" && (format == sign.CMS || command != ""):
		return nil, usageError(in, "cannot sign without --cert: it goes into the signature, and every signature is checked with it")
	}
	o := &sign.Options{Format: format}
	if in.Set("signing-time") {
		o.SigningTime = time.Now()
	}
	if format == sign.CMS {
		if o.Certificates, err = sign.LoadCertificates(cert); err != nil {
			return nil, err
		}
	}
	o.Signer, err = signer(key, cert, command, o.Certificates)
	return o, err
}

// signer opens the key file, or stands for the command: then no private key is ever read.
func signer(key, cert, command string, certificates []*x509.Certificate) (sign.Signer, error) {
	var public crypto.PublicKey
	if len(certificates) > 0 {
		public = certificates[0].PublicKey
	} else if cert != "" {
		var err error
		if public, err = sign.LoadPublicKey(cert); err != nil {
			return nil, err
		}
	}
	if key == "" {
		return sign.Command(command, public), nil
	}
	s, err := sign.LoadKey(key)
	if err != nil {
		return nil, err
	}
	if public != nil && !sign.SameKey(s.Public(), public) {
		return nil, fail.New(fail.Data, "cannot sign: the key in %s is not that of %s", key, cert)
	}
	return s, nil
}
