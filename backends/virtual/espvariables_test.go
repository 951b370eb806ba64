package virtual_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tegra-ota/tegra-ota/backends/virtual"
)

const onESP = "boot/efi/EFI/NVDA/Variables/"

func TestVariablesOnTheESPAreTakenUpBeforeTheChainIsChosen(t *testing.T) {
	opts := small()
	opts.Module, opts.L4T = xavierAGX, "35.4.1"
	origin := create(t, opts)
	set32(t, origin, "BootChainFwStatus", 5)
	next := "\x07\x00\x00\x00\x01\x00\x00\x00"
	put(t, origin, onESP+"BootChainFwNext-"+public, next)
	put(t, origin, onESP+"BootChainFwStatus-"+public, next[:4])
	put(t, origin, onESP+"RootfsStatusSlotA-"+public, "\x06\x00\x00\x00\xff\x00\x00\x00") // not stored: refused
	put(t, origin, onESP+"README", "no variable")
	for at := 0; at < 7; at++ { // the first two files are set or deleted, then removed
		o := clone(t, origin)
		r := boot(t, o, virtual.BootOptions{CutAt: at})
		if at > 0 {
			if r.Outcome != virtual.OutcomePowerCut {
				t.Fatalf("cut %d: %s", at, r.Outcome)
			}
			r = boot(t, o, virtual.BootOptions{Cold: true})
		}
		if where(r) != "running BB" || words(t, o, "RootfsStatusSlotA") != "0" {
			t.Errorf("cut %d: %s\n%s", at, where(r), strings.Join(r.Timeline, "\n"))
		}
		if left, err := os.ReadDir(filepath.Join(o.Dir(), onESP)); err != nil || len(left) != 0 {
			t.Errorf("cut %d: left over %v, %v", at, left, err)
		}
	}
}
