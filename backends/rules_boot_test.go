package backends_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/backends/virtual"
	"github.com/tegra-ota/tegra-ota/internal/config"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// A boot is counted once, however often the units run in it.
func TestCountOncePerBootID(t *testing.T) {
	d := newRule(t)
	d.activated("")
	d.bare(virtual.BootOptions{})
	for i := 0; i < 3; i++ {
		if b, err := d.count(); err != nil || b.Boots != 1 {
			t.Fatalf("count %d: %d boots, %v; want 1", i, b.Boots, err)
		}
	}
	d.bare(virtual.BootOptions{})
	if b, err := d.count(); err != nil || b.Boots != 2 {
		t.Errorf("in the next boot: %d boots, %v; want 2", b.Boots, err)
	}
}

// Boot-verify counts, too, where the early unit did not run.
func TestVerifyCountsABootThatTheEarlyUnitMissed(t *testing.T) {
	d := newRule(t)
	d.health("10-no", "exit 1")
	d.activated("")
	d.bare(virtual.BootOptions{})
	if b, err := d.verify(); err != nil || b.Boots != 1 {
		t.Errorf("%d boots, %v; want 1", b.Boots, err)
	}
}

// More boots than tries: no health check can save it.
func TestTriesExhaustedSkipsHealth(t *testing.T) {
	for _, early := range []bool{true, false} {
		d := makeRule(t)
		d.opts.Tries = 2
		d.health("10-never", "touch "+d.path("ran"))
		d.activated("")
		for i := 0; i < 3; i++ {
			d.bare(virtual.BootOptions{Cold: true})
			if i < 2 || early {
				b, err := d.count()
				ruleMust(t, err)
				if b.Reboot != (i == 2) {
					t.Fatalf("boot %d: reboot %t", i+1, b.Reboot)
				}
			}
		}
		_, err := d.verify()
		ruleMust(t, err)
		d.wantBoot(backends.B, false, true)
		if d.has("ran") {
			t.Error("health checks ran after the tries were used up")
		}
		if d.last.State != backends.RolledBack || !ruleMatch(d.last.Message, "booted 3 times .* 2 are allowed") {
			t.Errorf("%s: %s", d.last.State, d.last.Message)
		}
		d.arrive(backends.A)
	}
}

// As many boots as tries are allowed.
func TestLastTryIsJudgedByHealth(t *testing.T) {
	d := newRule(t)
	d.activated("")
	for i := 0; i < 2; i++ {
		d.boot(virtual.BootOptions{Cold: true, Fail: virtual.FailUserspace})
	}
	d.boot(virtual.BootOptions{Cold: true})
	d.wantBoot(backends.B, true, false)
}

// One failed check is enough, at the first boot.
func TestFailedHealthCheckRollsBackAtOnce(t *testing.T) {
	for name, script := range map[string]string{"exit 1": "echo the disk is full >&2; exit 1", "timeout": "sleep 60"} {
		t.Run(name, func(t *testing.T) {
			d := newRule(t)
			d.opts.HealthTimeout = 300 * time.Millisecond
			d.health("50-check", script)
			d.activated("")
			d.boot(virtual.BootOptions{})
			d.wantBoot(backends.B, false, true)
			if !ruleMatch(d.last.Message, "health check 50-check failed on slot B: ") {
				t.Errorf("message %q", d.last.Message)
			}
			d.arrive(backends.A)
		})
	}
}

// Checks run in name order, until one fails; what is not executable is no check.
func TestHealthChecksRunInNameOrder(t *testing.T) {
	d := newRule(t)
	for _, name := range []string{"20-b", "10-a", "30-c"} {
		d.health(name, "echo "+name+" >>"+d.path("ran"))
	}
	d.put("etc/tegra-ota/health.d/15-readme", "exit 1\n")
	d.health("25-no", "exit 1")
	d.activated("")
	d.boot(virtual.BootOptions{})
	if diff := cmp.Diff("10-a\n20-b", d.text("ran")); diff != "" {
		t.Errorf("checks that ran (-want +got):\n%s", diff)
	}
}

// Without an update a boot is a boot: refilled, cleared, committed, whatever the checks would say.
func TestNothingInFlightIsAcceptedWithoutHealth(t *testing.T) {
	d := newRule(t)
	d.health("10-no", "touch "+d.path("ran")+"; exit 1")
	d.set("BootChainFwStatus", 0)
	d.set("RootfsStatusSlotB", 255)
	for i := 0; i < 5; i++ {
		d.arrive(backends.A)
	}
	if d.has("ran") || d.last.State != backends.Idle {
		t.Errorf("state %s, health checks ran: %t", d.last.State, d.has("ran"))
	}
	if got := d.mark("A"); got != ruleBootable {
		t.Errorf("A is %s, want refilled", got)
	}
	if d.word("BootChainFwStatus") >= 0 {
		t.Error("BootChainFwStatus is still there")
	}
	if d.word("RootfsStatusSlotB") != 255 {
		t.Error("the other slot was revived")
	}
	if d.text("run/tegra-ota/committed") != "A" {
		t.Error("tegra-ota-committed.target is not reached")
	}
}

// The target is reached by a committed slot alone.
func TestSlotOnTrialIsNotCalledCommitted(t *testing.T) {
	d := newRule(t)
	d.put("run/tegra-ota/committed", "A\n")
	d.health("10-no", "exit 1")
	d.activated("")
	d.boot(virtual.BootOptions{})
	if d.has("run/tegra-ota/committed") {
		t.Error("a slot that is rolled back is called committed")
	}
}

// The firmware's counter is lost at power-off; ours is not.
func TestColdBootsWithADyingUserspaceRollBackAfterTries(t *testing.T) {
	d := newRule(t)
	d.activated("")
	for i := 0; i < 4; i++ {
		if r := d.boot(virtual.BootOptions{Cold: true, Fail: virtual.FailUserspace}); r.Chain != virtual.B {
			t.Fatalf("boot %d is of slot %s", i+1, r.Chain)
		}
	}
	d.arrive(backends.A)
	if got := d.status().Update.State; got != backends.RolledBack {
		t.Errorf("the update is %s, want rolled-back", got)
	}
}

// No software counts a kernel that dies after a power cycle: it is tried again, and A stays whole.
func TestColdBootsWithADyingKernelAreTriedAgain(t *testing.T) {
	d := newRule(t)
	d.activated("")
	for i := 0; i < 6; i++ {
		if r := d.boot(virtual.BootOptions{Cold: true, Fail: virtual.FailKernel}); r.Chain != virtual.B {
			t.Fatalf("boot %d is of slot %s", i+1, r.Chain)
		}
	}
	if c, err := d.Chain(virtual.A); err != nil || !c.Whole || d.word("RootfsStatusSlotA") != 0 {
		t.Errorf("A is not whole: %+v, %v", c, err)
	}
	d.arrive(backends.B) // and if it comes up once, it is judged
}

// The launcher counts warm resets.
func TestThreeWarmResetsFallBack(t *testing.T) {
	d := newRule(t)
	d.activated("")
	for i := 0; i < 3; i++ {
		if r := d.boot(virtual.BootOptions{Fail: virtual.FailKernel}); r.Chain != virtual.B {
			t.Fatalf("boot %d is of slot %s", i+1, r.Chain)
		}
	}
	d.arrive(backends.A)
	if v := d.verdict(); v.Outcome != backends.FellBack || v.NextStep == "" {
		t.Errorf("verdict %+v, want fell-back", v)
	}
}

// The default is systemd's, without a shell.
func TestRebootCommandIsSystemctl(t *testing.T) {
	t.Parallel()
	if diff := cmp.Diff([]string{"/usr/bin/systemctl", "reboot"}, config.Default().Boot.RebootCommand); diff != "" {
		t.Error(diff)
	}
}

// Stock services that call every boot good take the decision away.
func TestStockServicesAreErrors(t *testing.T) {
	t.Parallel()
	base := makeRule(t)
	for _, unit := range []string{"nv-l4t-bootloader-config", "nv_update_verifier", "l4t-rootfs-validation-config", "rauc-mark-good"} {
		d := base.clone(t)
		if p := ruleProblem(d.problems(), unit); p != nil {
			t.Errorf("%s is a problem without being there: %+v", unit, p)
		}
		link := "etc/systemd/system/multi-user.target.wants/" + unit + ".service"
		d.put("usr/lib/systemd/system/"+unit+".service", "[Service]\n")
		ruleMust(t, os.MkdirAll(filepath.Dir(d.path(link)), 0o755))
		ruleMust(t, os.Symlink("/usr/lib/systemd/system/"+unit+".service", d.path(link)))
		d.wantProblem(unit+".service is enabled", backends.SeverityError, fail.Unavailable)

		// What make install ships for it, or a mask, is the cure.
		dropIn := "../init/systemd/" + unit + ".service.d/50-tegra-ota.conf"
		text, err := os.ReadFile(dropIn)
		if err != nil || !ruleMatch(string(text), "(?m)^Condition|^ExecStart=$") {
			t.Errorf("%s does not keep the unit from starting: %v", dropIn, err)
		}
		d.put("usr/lib/systemd/system/"+unit+".service.d/50-tegra-ota.conf", string(text))
		if p := ruleProblem(d.problems(), unit); p != nil {
			t.Errorf("with the drop-in: %+v", p)
		}
		d.remove("usr/lib/systemd/system/" + unit + ".service.d")
		ruleMust(t, os.Symlink("/dev/null", d.path("etc/systemd/system/"+unit+".service")))
		if p := ruleProblem(d.problems(), unit); p != nil {
			t.Errorf("masked: %+v", p)
		}
	}
}
