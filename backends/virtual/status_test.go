package virtual_test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tegra-ota/tegra-ota/backends/virtual"
)

func TestStatus(t *testing.T) {
	o := create(t, small())
	arm(t, o, capsuleOf(t, virtual.CapsuleOptions{L4T: "36.4.3"}))
	set32(t, o, "RootfsStatusSlotB", 0xff)
	eraseMB1(t, o, virtual.B)
	s, err := o.Status()
	if err != nil {
		t.Fatal(err)
	}
	if s.Module != "p3767-0005" || s.L4T != "36.4.0" || s.Active != virtual.A || !s.Chains[virtual.A].Whole || s.Chains[virtual.B].Startable {
		t.Errorf("Status = %+v", s)
	}
	if diff := cmp.Diff([]string{"TEGRA_BL.Cap"}, s.Capsules); diff != "" {
		t.Errorf("capsules (-want +got):\n%s", diff)
	}
	want := map[string]string{
		"BootChainFwCurrent": "A", "OsIndications": "file capsule", "RootfsStatusSlotA": "normal", "RootfsStatusSlotB": "unbootable",
		"SystemFwVersions": "A 36.4.0, B 36.4.0", "RootfsRetryCountMax": "3", "TegraPlatformCompatSpec": "3767--0005--1--jetson-orin-nano-devkit-",
	}
	got := map[string]string{}
	for _, v := range s.Variables {
		if _, ok := want[v.Name]; ok {
			got[v.Name] = v.Value
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("variables in words (-want +got):\n%s", diff)
	}
}

// What has no meaning in an outcome is null, so that nobody takes slot A for an answer.
func TestReportJSON(t *testing.T) {
	for _, c := range []struct {
		outcome       virtual.Outcome
		chain, rootfs any
	}{
		{virtual.OutcomeRunning, "A", "A"}, {virtual.OutcomeKernelFailed, "A", "A"}, {virtual.OutcomeUserspaceHung, "A", "A"},
		{virtual.OutcomeRecovery, "A", nil}, {virtual.OutcomePowerCut, "A", nil}, {virtual.OutcomeBootLoop, "A", nil}, {virtual.OutcomeNoFirmware, nil, nil},
	} {
		raw, err := json.Marshal(virtual.BootReport{Outcome: c.outcome})
		if err != nil {
			t.Fatal(err)
		}
		var got map[string]any
		if err := json.Unmarshal(raw, &got); err != nil {
			t.Fatal(err)
		}
		if got["chain"] != c.chain || got["rootfs"] != c.rootfs {
			t.Errorf("%s: chain %v, rootfs %v, want %v, %v", c.outcome, got["chain"], got["rootfs"], c.chain, c.rootfs)
		}
		var back virtual.BootReport
		if c.rootfs != nil {
			if err := json.Unmarshal(raw, &back); err != nil || back.Outcome != c.outcome || back.Chain != virtual.A {
				t.Errorf("read back %+v, %v", back, err)
			}
		}
	}
}
