package sign

import (
	"crypto/x509"
	"time"

	"github.com/tegra-ota/tegra-ota/swdesc/problem"
)

// CheckCertificate names the findings of Fitness.
const CheckCertificate = "certificate"

// Fitness says what devices will find wrong with the signer's certificate, the first of the list, or with those above it. SWUpdate
// judges them at the time of the update, by OpenSSL's purpose for e-mail unless it is started with --cert-purpose codeSigning.
func Fitness(certificates []*x509.Certificate, now time.Time) problem.List {
	var found problem.List
	for _, c := range certificates {
		name := c.Subject.String()
		switch {
		case now.After(c.NotAfter):
			found = append(found, problem.Errorf(CheckCertificate, "the certificate of %s expired on %s", name, c.NotAfter.Format(time.DateOnly)).
				Then("sign with a certificate that is valid for as long as devices may install the update"))
		case now.Before(c.NotBefore):
			found = append(found, problem.Errorf(CheckCertificate, "the certificate of %s is valid from %s on", name, c.NotBefore.Format(time.DateOnly)).
				Then("look at this machine's clock"))
		}
	}
	if len(certificates) == 0 {
		return found
	}
	leaf := certificates[:1]
	if why := emailProtection.refuses(leaf); why != "" {
		if codeSigning.refuses(leaf) == "" {
			return append(found, problem.Warnf(CheckCertificate, "the certificate is for signing code, and SWUpdate expects one for e-mail").
				Then("start swupdate with --cert-purpose codeSigning"))
		}
		found = append(found, problem.Errorf(CheckCertificate, "no SWUpdate takes the certificate: %s", why).
			Then("sign with one that has the extended key usage emailProtection, or none"))
	}
	return found
}
