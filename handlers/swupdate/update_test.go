package swupdate_test

import (
	"bytes"
	"fmt"
	"testing"
)

// TestUpdate goes A to B and back again: root file system, kernel and firmware.
func TestUpdate(t *testing.T) {
	parallel(t)
	o := newOrin(t)
	for round, to := range []string{"B", "A", "B"} {
		b := o.snapshot(t)
		image, kernel := o.image(t), random(64<<10)
		u := o.good(t, image)
		id := u.members[0].properties["update"]
		k := rootfs(id, kernel).with("partition", "kernel")
		k.name = "kernel.img"
		u.members = append(u.members, k)
		o.install(t, u.pack(t)).want(t, 0).says(t, "the updated slot boots next")
		o.untouched(t, b)
		s := o.status(t)
		if s.Current != b.slot || s.Update.State != "activated" || s.Update.Target != to || s.Next == nil || *s.Next != to {
			t.Fatalf("round %d: before the reboot: %+v", round, s)
		}
		o.arrives(t, image)
		if got := read(t, o.path("dev/disk/by-partlabel", to+"_kernel")); !bytes.Equal(got[:len(kernel)], kernel) {
			t.Errorf("round %d: slot %s does not hold the kernel", round, to)
		}
	}
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

// TestParts installs updates that lack a part, or the ID that holds the parts together.
func TestParts(t *testing.T) {
	t.Run("root file system only", func(t *testing.T) {
		parallel(t)
		o := newOrin(t)
		image := o.image(t)
		o.install(t, update{members: []member{rootfs("1", image), activate("1")}}.pack(t)).want(t, 0)
		o.arrives(t, image)
	})
	t.Run("firmware only", func(t *testing.T) {
		parallel(t)
		// Large enough for SWUpdate 2022.12's exit status, see image: as much as the smallest flash partition takes,
		// for more boards than there are.
		size := []string{"--size-per-image", "60K"}
		boards := size
		for sku := 0; sku < 10; sku++ {
			boards = append(boards, "--spec", fmt.Sprintf("3767-000-%04d--1-0-jetson-orin-nano-devkit-", sku))
		}
		o := newOrin(t, size...)
		was := read(t, o.app("B"))
		o.install(t, update{members: []member{firmware("1", capsule(t, "36.4.3", boards...)), activate("1")}}.pack(t)).want(t, 0)
		o.arrives(t, was)
	})
	t.Run("no ID", func(t *testing.T) {
		parallel(t)
		o := newOrin(t)
		image := o.image(t)
		for i := 0; i < 2; i++ { // the second one starts over
			u := update{members: []member{rootfs("", image).with("update", ""), firmware("", capsule(t, "36.4.3")).with("update", ""),
				activate("").with("update", "")}}
			o.install(t, u.pack(t)).want(t, 0)
		}
		o.arrives(t, image)
	})
}
