package flash

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/formats/bup"
	"github.com/tegra-ota/tegra-ota/internal/chip"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

func TestOpenRefusesFromTheTableAlone(t *testing.T) {
	p := layoutOf(4<<10, 8)
	flash := p.old(p.release(1))
	im := p.release(2)
	only := func(name string) images { return images{name: im[name], "mb1": im["mb1"]} }
	forSpec := func(spec string) []byte {
		var list []bup.Image
		for name, data := range im {
			list = append(list, bup.Image{Name: name, Data: data, Spec: spec})
		}
		b, err := bup.BuildBytes(bup.BuildOptions{Images: list})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	format := func(o bup.BuildOptions) []byte {
		o.Images = []bup.Image{{Name: "mb1", Data: im["mb1"]}}
		b, err := bup.BuildBytes(o)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		update []byte
		opts   Options
		code   fail.Code
		want   string
	}{
		"missing images":       {pack(t, only("mb2")), Options{}, fail.Data, "it lacks "},
		"another board":        {forSpec("3701-300-0000-K.2-1-0-jetson-agx-orin-devkit-"), Options{}, fail.Data, "it lacks "},
		"format V2":            {format(bup.BuildOptions{Format: bup.V2}), Options{}, fail.Data, "V2"},
		"splash screens":       {format(bup.BuildOptions{Type: bup.TypeBMP}), Options{}, fail.Data, "type"},
		"no BUP":               {[]byte("hello, this is no package"), Options{}, fail.Data, "neither a BUP nor"},
		"cut off in the table": {pack(t, im)[:200], Options{}, fail.Data, "ends here"},
		"too large":            {pack(t, im, bup.Image{Name: "smm-fw", Data: make([]byte, 1<<20)}), Options{}, fail.Data, "do not fit"},
		"unknown name":         {pack(t, im, bup.Image{Name: "uefi", Data: []byte("x")}), Options{}, fail.Data, "no partition B_uefi"},
		"eks":                  {pack(t, im, bup.Image{Name: "eks", Data: []byte("x")}), Options{}, fail.Data, "both slots' secrets"},
		"too large, with a table of its own": {pack(t, im, bup.Image{Name: "smm-fw", Data: make([]byte, 1<<20)}, bup.Image{Name: tableImages[1], Data: p.table(p.place(backends.B))}),
			Options{}, fail.Data, "do not fit"},
		"no signature":        {pack(t, im), Options{CapsuleTrust: "/etc/trust.pem"}, fail.Data, "no signature"},
		"no such certificate": {pack(t, im), Options{CapsuleTrust: "/etc/none.pem"}, fail.Unavailable, "/etc/none.pem"},
	} {
		r := board(t, p, flash)
		r.file("/etc/trust.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
		s := New(r.m, chip.T234, tt.opts)
		_, err := s.Open(context.Background(), bytes.NewReader(tt.update))
		if fail.CodeOf(err) != tt.code || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v (%v), want %q", name, err, fail.CodeOf(err), tt.want)
		}
		if !bytes.Equal(r.onFile(), flash) {
			t.Errorf("%s: the flash changed", name)
		}
	}
}
