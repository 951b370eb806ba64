package dbusapi

import (
	"context"
	"time"

	"github.com/godbus/dbus/v5"
)

// Actions of polkit, as init/polkit/io.github.tegra-ota.policy declares them. polkit allows no underscore in their names.
const (
	actionActivate = "io.github.tegra-ota.activate"
	actionCommit   = "io.github.tegra-ota.commit"
	actionRollback = "io.github.tegra-ota.rollback"
	actionMark     = "io.github.tegra-ota.mark"
)

const (
	polkitName                   = "org.freedesktop.PolicyKit1"
	polkitPath   dbus.ObjectPath = "/org/freedesktop/PolicyKit1/Authority"
	polkitMethod                 = polkitName + ".Authority.CheckAuthorization"
	// polkitAsks is the flag AllowUserInteraction of CheckAuthorization.
	polkitAsks uint32 = 1
)

// interaction is how long somebody may take to type a password; such a client has asked to be kept waiting.
const interaction = 2 * time.Minute

// subject is polkit's (sa{sv}): a connection to the bus, whose process polkit finds by itself.
type subject struct {
	Kind    string
	Details map[string]dbus.Variant
}

// authorization is what polkit answers, (bba{ss}).
type authorization struct {
	Authorized bool
	Challenge  bool // it would be, after a password
	Details    map[string]string
}

// askPolkit asks whether a caller may do an action. A system without polkit says no, and that is no error.
func askPolkit(ctx context.Context, c *call, action string) (bool, error) {
	flags := uint32(0)
	if c.msg.Flags&dbus.FlagAllowInteractiveAuthorization != 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(c.ctx, interaction)
		defer cancel()
		flags = polkitAsks
	}
	who := subject{Kind: "system-bus-name", Details: map[string]dbus.Variant{"name": dbus.MakeVariant(c.sender)}}
	var answer authorization
	err := c.conn.Object(polkitName, polkitPath).
		CallWithContext(ctx, polkitMethod, 0, who, action, map[string]string{}, flags, "").Store(&answer)
	switch {
	case err != nil:
		return false, nil // not there, or it does not know the action: nobody has said yes
	case answer.Challenge && flags == 0:
		return false, dbus.NewError(interactionRequired,
			[]any{"the action " + action + " takes a password, and the call does not allow to ask for one"})
	}
	return answer.Authorized, nil
}
