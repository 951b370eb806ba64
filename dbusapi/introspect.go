package dbusapi

import (
	_ "embed" // the XML files
	"sort"
	"strings"

	"github.com/godbus/dbus/v5"
)

// The descriptions of our interfaces. They are the source: tests hold code and documentation to them.
//
//go:embed io.github.tegra_ota.SlotManager.xml
var managerXML string

//go:embed io.github.tegra_ota.Slot.xml
var slotXML string

// standardXML describes the interfaces of the D-Bus specification that every object here has.
const standardXML = `  <interface name="org.freedesktop.DBus.Introspectable">
    <method name="Introspect"><arg name="xml_data" type="s" direction="out"/></method>
  </interface>
  <interface name="org.freedesktop.DBus.Peer">
    <method name="Ping"/>
  </interface>
`

const propertiesXML = `  <interface name="org.freedesktop.DBus.Properties">
    <method name="Get">
      <arg name="interface_name" type="s" direction="in"/><arg name="property_name" type="s" direction="in"/>
      <arg name="value" type="v" direction="out"/>
    </method>
    <method name="GetAll">
      <arg name="interface_name" type="s" direction="in"/><arg name="properties" type="a{sv}" direction="out"/>
    </method>
    <method name="Set">
      <arg name="interface_name" type="s" direction="in"/><arg name="property_name" type="s" direction="in"/>
      <arg name="value" type="v" direction="in"/>
    </method>
    <signal name="PropertiesChanged">
      <arg name="interface_name" type="s"/><arg name="changed_properties" type="a{sv}"/>
      <arg name="invalidated_properties" type="as"/>
    </signal>
  </interface>
`

const objectManagerXML = `  <interface name="org.freedesktop.DBus.ObjectManager">
    <method name="GetManagedObjects"><arg name="objects" type="a{oa{sa{sv}}}" direction="out"/></method>
    <signal name="InterfacesAdded"><arg name="object" type="o"/><arg name="interfaces" type="a{sa{sv}}"/></signal>
    <signal name="InterfacesRemoved"><arg name="object" type="o"/><arg name="interfaces" type="as"/></signal>
  </interface>
`

const doctype = `<!DOCTYPE node PUBLIC "-//freedesktop//DTD D-BUS Object Introspection 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/introspect.dtd">
`

// described is an object's introspection: its own interfaces, the standard ones, and the nodes below.
func (o objects) described(path dbus.ObjectPath) string {
	var b strings.Builder
	b.WriteString(doctype + "<node>\n" + standardXML)
	for _, part := range []struct{ name, xml string }{
		{properties, propertiesXML}, {objectManager, objectManagerXML},
		{managerInterface, body(managerXML)}, {slotInterface, body(slotXML)},
	} {
		if _, ok := o[path].interfaces[part.name]; ok {
			b.WriteString(part.xml)
		}
	}
	names := o.children(path)
	sort.Strings(names)
	for _, name := range names {
		b.WriteString("  <node name=\"" + name + "\"/>\n")
	}
	b.WriteString("</node>\n")
	return b.String()
}

// body is what stands between <node> and </node>.
func body(xml string) string {
	_, after, _ := strings.Cut(xml, "<node>\n")
	inner, _, _ := strings.Cut(after, "</node>")
	return inner
}
