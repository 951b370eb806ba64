package sign

import (
	"bytes"
	"crypto/x509"
	"errors"
	"slices"
	"time"

	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// purpose is a rule for the certificates of a chain.
type purpose struct {
	name   string
	usage  x509.ExtKeyUsage
	signer func(c *x509.Certificate) string // what is wrong with the signer's, besides its extended key usage, or ""
}

// The purposes. What they ask is OpenSSL's check of "smimesign" (crypto/x509/v3_purp.c), and SWUpdate's own for code signing
// (check_code_sign, corelib/swupdate_cms_verify.c), which unlike the first insists on an extended key usage in the signer's.
var (
	emailProtection = purpose{"emailProtection", x509.ExtKeyUsageEmailProtection, func(c *x509.Certificate) string {
		if c.KeyUsage != 0 && c.KeyUsage&(x509.KeyUsageDigitalSignature|x509.KeyUsageContentCommitment) == 0 {
			return "its key usage has no digitalSignature"
		}
		return ""
	}}
	codeSigning = purpose{"codeSigning", x509.ExtKeyUsageCodeSigning, func(c *x509.Certificate) string {
		if !restricted(c) {
			return "it has no extended key usage codeSigning"
		}
		return ""
	}}
	anyPurpose = purpose{"any", x509.ExtKeyUsageAny, func(*x509.Certificate) string { return "" }}
)

// purposeOf returns the purpose of a name, which is a usage error if it is not one.
func purposeOf(name string) (purpose, error) {
	for _, p := range []purpose{emailProtection, codeSigning, anyPurpose} {
		if name == p.name || name == "" {
			return p, nil
		}
	}
	return purpose{}, fail.New(fail.Usage, "cannot use certificate purpose %q: it is none of emailProtection, codeSigning, any", name)
}

// restricted reports whether a certificate has an extended key usage.
func restricted(c *x509.Certificate) bool { return len(c.ExtKeyUsage)+len(c.UnknownExtKeyUsage) > 0 }

// refuses says what in a chain, the signer's certificate first, does not fit the purpose, or "". OpenSSL asks it of the trusted
// certificate, too, and anyExtendedKeyUsage does not count.
func (p purpose) refuses(chain []*x509.Certificate) string {
	if p.usage == x509.ExtKeyUsageAny {
		return ""
	}
	for _, c := range chain {
		if restricted(c) && !slices.Contains(c.ExtKeyUsage, p.usage) {
			return "the extended key usage of " + c.Subject.String() + " has no " + p.name
		}
	}
	return p.signer(chain[0])
}

// selfSigned reports whether a certificate names itself as its issuer, the way of OpenSSL's flag EXFLAG_SS.
func selfSigned(c *x509.Certificate) bool {
	return bytes.Equal(c.RawSubject, c.RawIssuer) &&
		(len(c.AuthorityKeyId) == 0 || len(c.SubjectKeyId) == 0 || bytes.Equal(c.AuthorityKeyId, c.SubjectKeyId))
}

// chain verifies the certificate of a signer: up to a self-signed trusted certificate, which may be itself, with all of them valid
// now and fit for the purpose. A trusted certificate that is not self-signed only helps on the way, as SWUpdate does not set
// OpenSSL's X509_V_FLAG_PARTIAL_CHAIN; Go would end at it.
func (o VerifyOptions) chain(signer *x509.Certificate, included []*x509.Certificate) error {
	p, err := purposeOf(o.Purpose)
	if err != nil {
		return err
	}
	now := o.Now
	if now.IsZero() {
		now = time.Now()
	}
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	for _, c := range o.Trust.Certificates {
		if selfSigned(c) {
			roots.AddCert(c)
		} else {
			between.AddCert(c)
		}
	}
	if o.IncludedAuthorities {
		for _, c := range included {
			between.AddCert(c)
		}
	}
	anyUsage := []x509.ExtKeyUsage{x509.ExtKeyUsageAny} // the purpose is checked below
	chains, err := signer.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: now, KeyUsages: anyUsage})
	if err != nil {
		refusal := refused(CMS, err, "the certificate of %s is not trusted", signer.Subject)
		var unknown x509.UnknownAuthorityError
		if errors.As(err, &unknown) {
			return refusal.Then("trust its self-signed authority and all between: a device need not take those from the signature")
		}
		return refusal
	}
	reason := ""
	for _, c := range chains {
		if reason = p.refuses(c); reason == "" {
			return nil
		}
	}
	return refused(CMS, nil, "the certificate of %s does not fit the purpose %s: %s", signer.Subject, p.name, reason).
		Then("verify with the purpose that swupdate gets by --cert-purpose, or use another certificate")
}
