package dbusapi

import (
	"context"
	"fmt"
	"os"
	"os/user"
	"slices"
	"strconv"
	"time"

	"github.com/godbus/dbus/v5"
)

// The bus itself.
const (
	busName     = "org.freedesktop.DBus"
	busPath     = dbus.ObjectPath("/org/freedesktop/DBus")
	busPatience = time.Second // for the answers of the bus and of polkit together
)

// guard decides who may change something. The bus has a policy that says the same; this is the second lock, for a bus whose policy
// somebody has opened.
type guard struct {
	group string // beside root; "" for nobody
}

// allow returns who calls if that one may do an action: root, the service's own user, a member of the group, and else whoever
// polkit says, where there is a polkit.
func (g guard) allow(c *call, action string) (caller, error) {
	ctx, cancel := context.WithTimeout(c.ctx, busPatience)
	defer cancel()
	who, err := g.identify(ctx, c)
	if err != nil {
		return who, deny(fmt.Sprintf("cannot tell who calls: %v", err))
	}
	if who.uid == 0 || int(who.uid) == os.Geteuid() || g.group != "" && who.in(g.group) {
		return who, nil
	}
	allowed, err := askPolkit(ctx, c, action)
	if err == nil && !allowed {
		err = deny(fmt.Sprintf("user %d may not change slots: that takes root%s", who.uid, g.alternative()))
	}
	return who, err
}

func (g guard) alternative() string {
	if g.group == "" {
		return ""
	}
	return ", or the group " + g.group
}

func deny(text string) error { return dbus.NewError(accessDenied, []any{valid(text)}) }

// caller is who the bus says has sent a message.
type caller struct {
	uid    uint32
	groups []uint32
	told   bool // the bus named the groups
}

// identify asks the bus, which has it from the kernel; a name that is gone by now has no credentials, and no rights.
func (g guard) identify(ctx context.Context, c *call) (caller, error) {
	var all map[string]dbus.Variant
	err := c.conn.Object(busName, busPath).CallWithContext(ctx, busName+".GetConnectionCredentials", 0, c.sender).Store(&all)
	if err != nil {
		return caller{}, err
	}
	uid, ok := all["UnixUserID"].Value().(uint32)
	if !ok {
		return caller{}, fmt.Errorf("the bus does not know the user of %s", c.sender)
	}
	who := caller{uid: uid}
	who.groups, who.told = all["UnixGroupIDs"].Value().([]uint32)
	return who, nil
}

// in says whether the caller is a member of a group. Where the bus does not say (before dbus 1.14), the user database does.
func (w caller) in(group string) bool {
	g, err := user.LookupGroup(group)
	if err != nil {
		return false
	}
	if w.told {
		gid, err := strconv.ParseUint(g.Gid, 10, 32)
		return err == nil && slices.Contains(w.groups, uint32(gid))
	}
	u, err := user.LookupId(strconv.FormatUint(uint64(w.uid), 10))
	if err != nil {
		return false
	}
	ids, err := u.GroupIds()
	return err == nil && slices.Contains(ids, g.Gid)
}
