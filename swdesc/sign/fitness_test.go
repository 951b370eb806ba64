package sign_test

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tegra-ota/tegra-ota/swdesc/sign"
)

// Certificates as openssl makes them, and what a device would say of each.
func TestFitness(t *testing.T) {
	dir := t.TempDir()
	now := time.Now()
	soon := now.Add(time.Minute) // the certificates are valid from when openssl makes them
	for name, tt := range map[string]struct {
		extension string
		at        time.Time
		want      string // "" for nothing
	}{
		"plain":         {"", soon, ""},
		"e-mail":        {"extendedKeyUsage=emailProtection", soon, ""},
		"both":          {"extendedKeyUsage=emailProtection,codeSigning", soon, ""},
		"code":          {"extendedKeyUsage=codeSigning", soon, "warning (certificate): the certificate is for signing code"},
		"server":        {"extendedKeyUsage=serverAuth", soon, "error (certificate): no SWUpdate takes the certificate"},
		"keys only":     {"keyUsage=keyEncipherment", soon, "its key usage has no digitalSignature"},
		"expired":       {"", now.AddDate(0, 2, 0), "error (certificate): the certificate of CN=fleet expired on "},
		"from the past": {"", now.AddDate(0, -1, 0), "is valid from " + now.UTC().Format(time.DateOnly)},
	} {
		cert := filepath.Join(dir, strings.ReplaceAll(name, " ", "-")+".pem")
		args := []string{"req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-keyout", filepath.Join(dir, "key.pem"),
			"-out", cert, "-days", "30", "-subj", "/CN=fleet"}
		if tt.extension != "" {
			args = append(args, "-addext", tt.extension)
		}
		openssl(t, args...)
		certificates, err := sign.LoadCertificates(cert)
		if err != nil {
			t.Fatal(err)
		}
		found := sign.Fitness(certificates, tt.at)
		if (len(found) == 0) != (tt.want == "") || len(found) > 0 && !strings.Contains(found[0].String(), tt.want) {
			t.Errorf("%s: %v, want %q", name, found, tt.want)
		}
	}
}
