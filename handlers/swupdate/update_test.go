package swupdate_test

import (
	"bytes"
	"testing"
)

// TestUpdate goes A to B and back again: root file system, kernel, its device tree and firmware.
func TestUpdate(t *testing.T) {
	everywhere(t, func(t *testing.T, k kind) {
		o := newDevice(t, k)
		if name, reason := o.backend(t); name != k.backend || reason == "" {
			t.Errorf("backend %q, because of %q; want %s", name, reason, k.backend)
		}
		for round, to := range []string{"B", "A", "B"} {
			b := o.snapshot(t)
			version := o.nextVersion(t)
			image := o.image(t)
			u := o.good(t, image)
			id := u.members[0].properties["update"]
			parts := map[string][]byte{"kernel": random(64 << 10), "kernel-dtb": random(16 << 10)}
			for name, data := range parts {
				m := rootfs(id, data).with("partition", name)
				m.name = name + ".img"
				u.members = append(u.members, m)
			}
			o.install(t, u.pack(t)).want(t, 0).says(t, "the updated slot boots next")
			o.untouched(t, b)
			s := o.status(t)
			if s.Current != b.slot || s.Update.State != "activated" || s.Update.Target != to || s.Next == nil || *s.Next != to {
				t.Fatalf("round %d: before the reboot: %+v", round, s)
			}
			o.arrives(t, image)
			o.chain(t, to, version)
			for name, data := range parts {
				if got := read(t, o.path("dev/disk/by-partlabel", k.label(name, to))); !bytes.Equal(got[:len(data)], data) {
					t.Errorf("round %d: slot %s does not hold the %s", round, to, name)
				}
			}
		}
	})
}

// TestDelivery installs the same update in every way that SWUpdate can hand it over.
func TestDelivery(t *testing.T) {
	image := random(3<<20 + 512)
	for _, tt := range []struct {
		name   string
		rootfs func(member) member
		bl     func(member) member
	}{
		{"zstd streamed, capsule copied", member.streamed, member.temporary},
		{"zstd copied, capsule streamed", member.temporary, member.streamed},
		{"raw streamed, zstd capsule streamed", func(m member) member { return m.raw().streamed() }, func(m member) member { return compressed(m).streamed() }},
		{"raw copied, zstd capsule copied", func(m member) member { return m.raw().temporary() }, compressed},
		{"zstd left to tegra-image, streamed", func(m member) member { return m.undeclared().streamed() }, member.temporary},
		{"zstd left to tegra-image, copied", func(m member) member { return m.undeclared().temporary() }, member.temporary},
	} {
		t.Run(tt.name, func(t *testing.T) {
			parallel(t)
			o := newOrin(t)
			const id = "1"
			u := update{members: []member{tt.rootfs(rootfs(id, image)), tt.bl(firmware(id, capsule(t, "36.4.3"))), activate(id)}}
			o.install(t, u.pack(t)).want(t, 0)
			o.arrives(t, image)
		})
	}
}

func compressed(m member) member {
	m.zstd = true
	m.attributes = append(m.attributes, `compressed = "zstd"`)
	return m
}

// TestRootOnly installs an update without firmware.
func TestRootOnly(t *testing.T) {
	everywhere(t, func(t *testing.T, k kind) {
		o := newDevice(t, k)
		was := o.hardware(t).Chains["B"].Version
		image := o.image(t)
		o.install(t, update{members: []member{rootfs("1", image), activate("1")}}.pack(t)).want(t, 0)
		o.arrives(t, image)
		o.chain(t, "B", was)
	})
}

// TestFirmwareOnly installs an update without an image: the chain is new, and the root file system that the slot had boots.
func TestFirmwareOnly(t *testing.T) {
	everywhere(t, func(t *testing.T, k kind) {
		// Large enough for SWUpdate 2022.12's exit status, see image.
		o := newDevice(t, k, k.boards[:2]...)
		was, version := read(t, o.app("B")), o.nextVersion(t)
		large := k.payload.of(t, version, k.boards...)
		o.install(t, update{members: []member{k.firmware("1", large), activate("1")}}.pack(t)).want(t, 0)
		o.arrives(t, was)
		o.chain(t, "B", version)
	})
}

// TestWithoutID installs updates that lack the ID that holds the parts together.
func TestWithoutID(t *testing.T) {
	parallel(t)
	o := newOrin(t)
	image := o.image(t)
	for i := 0; i < 2; i++ { // the second one starts over
		u := update{members: []member{rootfs("", image).with("update", ""), firmware("", capsule(t, "36.4.3")).with("update", ""),
			activate("").with("update", "")}}
		o.install(t, u.pack(t)).want(t, 0)
	}
	o.arrives(t, image)
}
