// Package dbusapi puts what Control knows of a Jetson's slots on the system bus, for applications without privilege: objects with
// properties that tell when they change, signals, and methods for those who may change something.
//
// The interfaces are described in io.github.tegra_ota.SlotManager.xml and io.github.tegra_ota.Slot.xml; the code is checked
// against them. They are only ever added to.
package dbusapi

import (
	"github.com/godbus/dbus/v5"

	"github.com/tegra-ota/tegra-ota/backends"
)

// BusName is what the service is called on the bus; its interface has the same name.
const BusName = "io.github.tegra_ota.SlotManager"

// Interfaces.
const (
	managerInterface = BusName
	slotInterface    = "io.github.tegra_ota.Slot"
	peer             = "org.freedesktop.DBus.Peer"
	properties       = "org.freedesktop.DBus.Properties"
	introspectable   = "org.freedesktop.DBus.Introspectable"
	objectManager    = "org.freedesktop.DBus.ObjectManager"
)

// managerPath is the object of the whole device.
const managerPath dbus.ObjectPath = "/io/github/tegra_ota/SlotManager"

// slotPath is the object of a slot.
func slotPath(s backends.Slot) dbus.ObjectPath { return managerPath + "/slot/" + dbus.ObjectPath(s) }
