package rauc_test

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// truth is what RAUC tells about the slots.
type truth struct {
	Booted  string // bootname
	Primary string // bootname; "" for none
	Good    string // bootnames
}

// tells fails unless RAUC says it, on its command line and on D-Bus alike.
func (o *orin) tells(t *testing.T, want truth) {
	t.Helper()
	if diff := cmp.Diff(want, o.cliStatus(t)); diff != "" {
		t.Errorf("rauc status does not tell the truth (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want, o.busStatus(t)); diff != "" {
		t.Errorf("D-Bus does not tell the truth (-want +got):\n%s", diff)
	}
}

// bootnames of the slots' names in system.conf.
var bootnames = map[string]string{"rootfs.0": "A", "rootfs.1": "B", "": ""}

// cliStatus reads rauc status --detailed --output-format=json.
func (o *orin) cliStatus(t *testing.T) truth {
	t.Helper()
	r := o.rauc(t, "status", "--detailed", "--output-format=json").want(t, 0)
	var s struct {
		Booted  string  `json:"booted"`
		Primary *string `json:"boot_primary"`
		Slots   []map[string]struct {
			Bootname *string `json:"bootname"`
			State    string  `json:"state"`
			Boot     *string `json:"boot_status"`
		} `json:"slots"`
	}
	if err := json.Unmarshal([]byte(r.stdout), &s); err != nil {
		t.Fatalf("rauc status: %v\n%s", err, r.stdout)
	}
	states, boots := map[string]string{}, map[string]string{}
	for _, slot := range s.Slots {
		for name, is := range slot {
			states[name] = is.State
			if is.Boot != nil {
				boots[name] = *is.Boot
			}
		}
	}
	primary := ""
	if s.Primary != nil {
		primary = *s.Primary
	}
	got := judge(t, primary, states, boots)
	// A bootname, or the device that root= names.
	if booted := strings.ToUpper(strings.TrimPrefix(s.Booted, "_")); booted != got.Booted && !strings.HasPrefix(booted, "/") {
		t.Errorf("rauc status says that %s is booted, and %s in the list of slots", s.Booted, got.Booted)
	}
	return got
}

// busStatus asks GetSlotStatus and GetPrimary.
func (o *orin) busStatus(t *testing.T) truth {
	t.Helper()
	var slots struct {
		Data [][][2]json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(o.call(t, "GetSlotStatus"), &slots); err != nil || len(slots.Data) != 1 {
		t.Fatalf("GetSlotStatus: %v", err)
	}
	states, boots := map[string]string{}, map[string]string{}
	for _, slot := range slots.Data[0] {
		var name string
		var is map[string]struct {
			Data any `json:"data"`
		}
		if err := json.Unmarshal(slot[0], &name); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(slot[1], &is); err != nil {
			t.Fatal(err)
		}
		states[name], _ = is["state"].Data.(string)
		if boot, ok := is["boot-status"].Data.(string); ok {
			boots[name] = boot
		}
	}
	var primary struct {
		Data []string `json:"data"`
	}
	raw, err := o.method("GetPrimary").Output() // an error stands for none
	if err == nil {
		if err := json.Unmarshal(raw, &primary); err != nil || len(primary.Data) != 1 {
			t.Fatalf("GetPrimary: %v: %s", err, raw)
		}
		return judge(t, primary.Data[0], states, boots)
	}
	return judge(t, "", states, boots)
}

// method calls a method of RAUC's.
func (o *orin) method(name string) *exec.Cmd {
	const service = "de.pengutronix.rauc"
	return exec.Command("busctl", "--address="+o.bus, "--json=short", "call", service, "/", service+".Installer", name)
}

func (o *orin) call(t *testing.T, name string) []byte {
	t.Helper()
	out, err := o.method(name).Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", name, err, o.log(t))
	}
	return out
}

// judge puts a status in our words, and fails where it contradicts itself: the firmware's slot goes with its root file system's.
func judge(t *testing.T, primary string, states, boots map[string]string) truth {
	t.Helper()
	got := truth{Primary: bootnames[primary]}
	if got.Primary == "" && primary != "" {
		t.Errorf("the primary is %q, which is no slot with a bootname", primary)
	}
	for i, name := range []string{"rootfs.0", "rootfs.1"} {
		firmware := "bootloader." + name[len(name)-1:]
		want := "inactive"
		if states[name] == "booted" {
			got.Booted += bootnames[name]
			want = "active"
		}
		if states[firmware] != want {
			t.Errorf("%s is %q and %s is %q", name, states[name], firmware, states[firmware])
		}
		switch boots[name] {
		case "good":
			got.Good += string("AB"[i])
		case "bad":
		default:
			t.Errorf("the boot status of %s is %q", name, boots[name])
		}
	}
	if len(states) != 4 || strings.Count(got.Booted, "") != 2 {
		t.Errorf("the slots are %v", states)
	}
	return got
}
