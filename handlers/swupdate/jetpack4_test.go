package swupdate_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// recorder runs the program whose place it took, and writes down the call and the slot that the slot metadata makes active after it.
const recorder = `#!/bin/sh
dir=${0%%/usr/sbin/*}
"$0.real" "$@"
code=$?
echo "${0##*/} $*: $('%s' status "$dir" --json | sed -n 's/^  "active": "\(.\)".*/\1/p')" >>"$dir/qspi/order"
exit $code
`

// changes are the calls recorded so far that may change the slot metadata.
func (o *orin) changes(t *testing.T) []string {
	t.Helper()
	var list []string
	for _, line := range strings.Split(strings.TrimSpace(string(read(t, o.path("qspi/order")))), "\n") {
		for _, word := range []string{"set-", "mark-", "nv_update_engine -i"} {
			if strings.Contains(line, word) {
				list = append(list, line)
				break
			}
		}
	}
	return list
}

// TestEngineOrder follows the slot metadata through an update: the target is unbootable before nv_update_engine runs, what that
// switches is taken back at once, and the target becomes the active slot by activate alone.
func TestEngineOrder(t *testing.T) {
	parallel(t)
	o := newDevice(t, onJetPack4)
	for _, program := range []string{"nvbootctrl", "nv_update_engine"} {
		o.replace(t, program, fmt.Sprintf(recorder, suite.orin))
	}
	image := o.image(t)
	u := update{members: []member{onJetPack4.firmware("1", onJetPack4.payload.of(t, "32.7.6")), rootfs("1", image)}}
	o.install(t, u.pack(t)).want(t, 0)
	done := o.changes(t)
	engine := slices.IndexFunc(done, func(line string) bool { return strings.HasPrefix(line, "nv_update_engine") })
	if engine < 1 || engine+1 == len(done) {
		t.Fatalf("nv_update_engine is not called between changes of the slots:\n%s", strings.Join(done, "\n"))
	}
	for i, line := range done {
		if want := map[bool]string{true: ": B", false: ": A"}[i == engine]; !strings.HasSuffix(line, want) {
			t.Errorf("call %d leaves another slot active than%s: %s", i, want, line)
		}
	}
	if !slices.Contains(done[:engine], "nvbootctrl set-slot-as-unbootable 1: A") {
		t.Errorf("slot B may boot while nv_update_engine writes it:\n%s", strings.Join(done, "\n"))
	}
	if done[engine+1] != "nvbootctrl set-active-boot-slot 0: A" {
		t.Errorf("after nv_update_engine comes %q", done[engine+1])
	}
	b := o.hardware(t).SMD.Slots[1]
	if b.Priority != 0 || b.Retry != 0 {
		t.Errorf("before activate slot B is bootable: %+v", b)
	}

	if code, _, log := o.control(t, "tegra-bootctl", "activate", "--update", "1"); code != 0 {
		t.Fatalf("tegra-bootctl activate exits %d: %s", code, log)
	}
	done = o.changes(t)
	if last := done[len(done)-1]; last != "nvbootctrl set-active-boot-slot 1: B" {
		t.Errorf("activate ends with %q", last)
	}
	if b := o.hardware(t).SMD.Slots[1]; b.Retry != 7 || b.Successful {
		t.Errorf("after activate slot B is not on trial: %+v", b)
	}
	o.arrives(t, image)
	if b := o.hardware(t).SMD.Slots[1]; !b.Successful || b.Priority != 15 {
		t.Errorf("the committed slot B is not successful: %+v", b)
	}
}

// TestEngineFails lets nv_update_engine fail in the ways it has, also those that it does not tell.
func TestEngineFails(t *testing.T) {
	for _, tt := range []struct{ fail, says string }{
		{"status-4-exit-0", `status 4`},
		{"dies", `signal`},
		{"no-effect", `did not change`},
	} {
		t.Run(tt.fail, func(t *testing.T) {
			parallel(t)
			o := newDevice(t, onJetPack4)
			b := o.snapshot(t)
			tool(t, "", suite.orin, "programs", o.dir, "--engine-fail", tt.fail)
			o.install(t, o.good(t, o.image(t)).pack(t)).want(t, 1).says(t, `tegra-bup bl_update_payload: .*`+tt.says+`.*exit 74, io`)
			tool(t, "", suite.orin, "programs", o.dir, "--engine-fail", "")
			o.unharmed(t, b)
		})
	}
}

// TestColdKernelDeath: unlike an Orin's, the retries of the slot metadata survive a power cut, so that a kernel that never comes up
// is given up however it was ended.
func TestColdKernelDeath(t *testing.T) {
	parallel(t)
	o, b := installed(t, newDevice(t, onJetPack4))
	for i := 0; i < onJetPack4.resets; i++ {
		o.mustNotBoot(t, "--cold", "--fail", "kernel")
	}
	o.mustBoot(t, b.slot)
	o.rolledBackOrFailed(t, b)
}

// TestBrokenChain installs firmware that is well packed and does not start: MB1 gives the slot up.
func TestBrokenChain(t *testing.T) {
	parallel(t)
	o := newDevice(t, onJetPack4)
	b := o.snapshot(t)
	u := o.good(t, o.image(t))
	u.members[2] = onJetPack4.firmware(u.members[0].properties["update"], onJetPack4.payload.of(t, "32.7.6", "--damage", "image"))
	o.install(t, u.pack(t)).want(t, 0)
	if timeline := o.mustBoot(t, b.slot); !strings.Contains(timeline, "MB1 can not start chain B") {
		t.Errorf("chain B was not tried:\n%s", timeline)
	}
	o.rolledBackOrFailed(t, b)
}

// TestBadPayload installs firmware that a device cannot take.
func TestBadPayload(t *testing.T) {
	bup := func(options ...string) func(*testing.T) []byte {
		return func(t *testing.T) []byte { return onJetPack4.payload.of(t, "32.7.6", options...) }
	}
	for _, tt := range []struct {
		name string
		kind kind
		data func(*testing.T) []byte
		says string
	}{
		{"for another board", onJetPack4, bup("--spec", "2888-400-0001-J.0-1-2-jetson-agx-xavier-devkit-mmcblk0p1"), `3668.*exit 65, data`},
		{"lacks an image", onJetPack4, bup("--omit", "mb2"), `mb2.*exit 65, data`},
		{"none", onJetPack4, bup("--damage", "magic"), `exit 65, data`},
		{"cut off", onJetPack4, bup("--damage", "cut"), `exit 65, data`},
		{"capsule on JetPack 4", onJetPack4, func(t *testing.T) []byte { return capsule(t, "36.4.3") }, `takes a BUP V2.*exit 65, data`},
		{"BUP of R32 on Orin", onProgram, bup(), `bare BUP on T234.*exit 65, data`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			parallel(t)
			o := newDevice(t, tt.kind)
			b := o.snapshot(t)
			u := o.good(t, o.image(t))
			u.members[2].data = tt.data(t)
			o.install(t, u.pack(t)).want(t, 1).says(t, `tegra-bup `+tt.kind.payload.file+`: .*`+tt.says)
			for name, sum := range o.contents(t, "B") {
				if strings.HasPrefix(name, "/qspi/") && sum != b.other[name] {
					t.Errorf("%s was written to", name)
				}
			}
			if r := o.engine(t); slices.ContainsFunc(r.Calls, func(call []string) bool { return slices.Contains(call, "-i") }) {
				t.Errorf("nv_update_engine was asked to install: %q", r.Calls)
			}
			o.chosen(t, b.slot)
			o.mustBoot(t, b.slot)
			o.untouched(t, b)
		})
	}
}

// TestSilentProgram: nvbootctrl answers 0 and does nothing. That is noticed before anything depends on it.
func TestSilentProgram(t *testing.T) {
	for _, tt := range []struct {
		kind kind
		says string
	}{
		{onProgram, `tegra-activate activate: .*RootfsRedundancyLevel.*exit 69, unavailable`},
		{onJetPack4, `tegra-image rootfs.img.zst: .*set-slot-as-unbootable.*read back.*exit 74, io`},
	} {
		t.Run(tt.kind.name, func(t *testing.T) {
			parallel(t)
			o := newDevice(t, tt.kind)
			b := o.snapshot(t)
			tool(t, "", suite.orin, "programs", o.dir, "--nvbootctrl-fail", "silent")
			o.install(t, update{members: []member{rootfs("1", o.image(t)), activate("1")}}.pack(t)).want(t, 1).says(t, tt.says)
			if tt.kind.jetPack4() {
				o.same(t, b)
			}
			o.chosen(t, b.slot)
			tool(t, "", suite.orin, "programs", o.dir, "--nvbootctrl-fail", "")
			o.unharmed(t, b)
		})
	}
}

// TestOtherReleases updates JetPack 4 as it was before R32.6, where the payload has a fixed place, and with root file systems that
// are selected apart from the boot chain.
func TestOtherReleases(t *testing.T) {
	for _, tt := range []struct {
		name   string
		create []string
		call   []string
	}{
		{"R32.4", []string{"--l4t", "32.4.4"}, []string{"--install", "no-reboot"}},
		{"root file systems apart", []string{"--redundancy", "rootfs"}, []string{"-i", "bl", "--payload"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			parallel(t)
			o := newDevice(t, onJetPack4, tt.create...)
			o.updates(t)
			calls := o.engine(t).Calls
			if last := calls[len(calls)-1]; len(last) < len(tt.call) || !slices.Equal(last[:len(tt.call)], tt.call) {
				t.Errorf("nv_update_engine was called with %q, want %q", last, tt.call)
			}
			if left, _ := filepath.Glob(o.path("opt/ota_package/*")); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
			_, b := installed(t, o)
			o.mustNotBoot(t, "--warm", "--fail", "userspace")
			o.settle(t)
			if s := o.status(t); s.Current != other(b.slot) || s.Update.State != "committed" {
				t.Errorf("slot %s runs and the update is %q: %s", s.Current, s.Update.State, o.verdict())
			}
		})
	}
}
