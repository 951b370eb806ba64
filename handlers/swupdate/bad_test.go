package swupdate_test

import (
	"os"
	"testing"
)

// TestBadFile installs updates that are at fault themselves: nothing happens but in the slot that does not run.
func TestBadFile(t *testing.T) {
	const id = "bad"
	image := random(3<<20 + 512)
	whole := func(t *testing.T) update {
		return update{members: []member{rootfs(id, image), firmware(id, capsule(t, "36.4.3")), activate(id)}}
	}
	change := func(i int, f func(member) member) func(*testing.T) update {
		return func(t *testing.T) update {
			u := whole(t)
			u.members[i] = f(u.members[i])
			return u
		}
	}
	replace := func(l4t string, options ...string) func(*testing.T) update {
		return func(t *testing.T) update {
			u := whole(t)
			u.members[1] = firmware(id, capsule(t, l4t, options...))
			return u
		}
	}
	for _, tt := range []struct {
		name   string
		update func(*testing.T) update
		damage func(t *testing.T, swu string, u update)
		says   string
		never  bool // refused before a byte is written: the other slot is untouched too
	}{
		{name: "wrong key", update: func(t *testing.T) update { u := whole(t); u.signer = 1; return u }, says: "Authentication of all signatures failed", never: true},
		{name: "flipped byte in rootfs, streamed", update: change(0, func(m member) member { return m.raw().streamed() }),
			damage: func(t *testing.T, swu string, u update) { flip(t, swu, u.members[0]) }, says: "HASH mismatch|digest"},
		{name: "flipped byte in rootfs, copied", update: change(0, func(m member) member { return m.raw().temporary() }), never: true,
			damage: func(t *testing.T, swu string, u update) { flip(t, swu, u.members[0]) }, says: "HASH mismatch"},
		{name: "flipped byte in capsule, streamed", update: change(1, member.streamed),
			damage: func(t *testing.T, swu string, u update) { flip(t, swu, u.members[1]) }, says: "HASH mismatch|digest"},
		{name: "flipped byte in capsule, copied", update: change(1, member.temporary),
			damage: func(t *testing.T, swu string, u update) { flip(t, swu, u.members[1]) }, says: "HASH mismatch"},
		{name: "truncated in rootfs", update: change(0, func(m member) member { return m.raw().streamed() }),
			damage: func(t *testing.T, swu string, u update) { truncate(t, swu, 2<<20) }, says: "could not deliver the whole image as signed"},
		{name: "truncated in rootfs, zstd", update: whole,
			damage: func(t *testing.T, swu string, u update) { truncate(t, swu, 2<<20) }, says: "could not deliver the whole image as signed"},
		{name: "truncated in capsule", update: change(1, member.streamed),
			damage: func(t *testing.T, swu string, u update) {
				truncate(t, swu, len(read(t, swu))-len(u.members[1].data)/2-1024)
			}, says: "could not deliver the whole image as signed"},
		{name: "capsule for another module", update: replace("36.4.3", "--spec", "3701-500-0005-M.0-1-1-jetson-agx-orin-devkit-"), says: `tegra-bup TEGRA_BL.Cap: .*exit 65, data`},
		{name: "capsule below the floor", update: replace("36.3.0"), says: `tegra-bup TEGRA_BL.Cap: .*exit 65, data`},
		{name: "capsule lacks an image", update: replace("36.4.3", "--omit", "mb1"), says: `tegra-bup TEGRA_BL.Cap: .*mb1.*exit 65, data`},
		{name: "capsule is none", update: func(t *testing.T) update {
			u := whole(t)
			u.members[1] = firmware(id, random(1<<20))
			return u
		}, says: `tegra-bup TEGRA_BL.Cap: .*exit 65, data`},
		// SWUpdate's log passes what it gets through string.format.
		{name: "percent signs in a name", update: change(1, func(m member) member {
			m.name, m.data = "50%s%n%d.Cap", random(1<<20)
			return m
		}), says: `tegra-bup 50%s%n%d\.Cap: .*exit 65, data`},
		{name: "size too small", update: change(0, func(m member) member { return m.with("size", "3145728") }), says: `tegra-image rootfs.img.zst: .*exit 65, data`},
		{name: "size too large", update: change(0, func(m member) member { return m.with("size", "4000256") }), says: `tegra-image rootfs.img.zst: .*exit 65, data`},
		{name: "larger than the partition", update: change(0, func(m member) member { return m.with("size", "16777216") }), says: `tegra-image rootfs.img.zst: .*exit (65|69)`, never: true},
		{name: "another digest", update: change(0, func(m member) member { return m.with("sha256", digest(nil)) }), says: `tegra-image rootfs.img.zst: .*exit 65, data`},
		{name: "no size", update: change(0, func(m member) member { return m.with("size", "") }), says: `tegra-image rootfs.img.zst: .*size.*exit 64, usage`, never: true},
		{name: "no partition", update: change(0, func(m member) member { return m.with("partition", "") }), says: `tegra-image rootfs.img.zst: .*exit 64, usage`, never: true},
		{name: "partition no slot has", update: change(0, func(m member) member { return m.with("partition", "esp") }), says: `tegra-image rootfs.img.zst: .*esp.*exit 64, usage`, never: true},
		{name: "two updates mixed", update: change(1, func(m member) member { return m.with("update", "another") }),
			says: `(tegra-bup TEGRA_BL.Cap|tegra-activate activate): .*exit 69, unavailable`},
		{name: "activation of another update", update: change(2, func(m member) member { return m.with("update", "another") }),
			says: `tegra-activate activate: .*exit 69, unavailable`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			parallel(t)
			o := newOrin(t)
			b := o.snapshot(t)
			u := tt.update(t)
			swu := u.pack(t)
			if tt.damage != nil {
				tt.damage(t, swu, u)
			}
			o.install(t, swu).want(t, 1).says(t, tt.says)
			if tt.never {
				o.same(t, b)
			}
			o.unharmed(t, b)
		})
	}
}

func truncate(t *testing.T, path string, size int) {
	t.Helper()
	if err := os.Truncate(path, int64(size)); err != nil {
		t.Fatal(err)
	}
}

// TestWithoutActivate installs everything but the last step: nothing is switched, and the next boot says why.
func TestWithoutActivate(t *testing.T) {
	everywhere(t, func(t *testing.T, k kind) {
		o := newDevice(t, k)
		b := o.snapshot(t)
		u := update{members: []member{rootfs("1", o.image(t)), k.firmware("1", k.payload.of(t, k.versions[0]))}}
		o.install(t, u.pack(t)).want(t, 0)
		if s := o.status(t); s.Update.State != "staged" {
			t.Errorf("the update is %q, want staged", s.Update.State)
		}
		o.chosen(t, b.slot)
		o.mustBoot(t, b.slot)
		if s := o.status(t); s.Update.State != "failed" {
			t.Errorf("after the reboot the update is %q, want failed: %s", s.Update.State, o.verdict())
		}
		o.says(t, "lacks its activate step")
		o.unharmed(t, b)
	})
}
