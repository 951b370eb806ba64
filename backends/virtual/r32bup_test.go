package virtual_test

import (
	"bytes"
	"testing"

	"github.com/tegra-ota/tegra-ota/backends/virtual"
	"github.com/tegra-ota/tegra-ota/formats/bup"
	"github.com/tegra-ota/tegra-ota/internal/chip"
)

// What the model's engine takes is what the client's rule selects, for every module: the specs of the table fit each other.
func TestClientAndEngineSelectTheSameImages(t *testing.T) {
	for module, required := range map[string][]string{
		xavierNX: bup.RequiredT194R32, xavierAGX: bup.RequiredT194R32, tx2: bup.RequiredT186R32,
	} {
		o := create(t, jetPack4(module))
		raw := []byte(payload(t, virtual.BUPOptions{Module: module}))
		pkg, err := bup.ParseAt(bytes.NewReader(raw), int64(len(raw)))
		if err != nil {
			t.Fatal(err)
		}
		conf := chip.BootControl(machineOf(o))
		choice := pkg.MatchR32(conf["TNSPEC"], conf["COMPATIBLE_SPEC"], required)
		if len(choice.Missing) != 0 || len(choice.Chosen) == 0 {
			t.Errorf("%s: missing %+v", module, choice.Missing)
		}
		put(t, o, payloadPath, string(raw))
		if out, _, exit := engine(o, virtual.UpdateEngineOptions{}, "-i", "no-reboot"); exit != 0 {
			t.Fatalf("%s: %s", module, out)
		}
		for name, i := range choice.Chosen {
			e := pkg.Entries[i]
			if got := read(t, o, "qspi/B/"+name); got != string(raw[e.Offset:e.Offset+e.Length]) {
				t.Errorf("%s: the engine wrote another image of %s than entry %d", module, name, i)
			}
		}
	}
}
