package rauc

import (
	"errors"
	"fmt"
	"sort"
	"strings"

	"github.com/godbus/dbus/v5"

	"github.com/tegra-ota/tegra-ota/dbusapi/install"
)

// change is what RAUC tells of its properties; nil is what it does not tell.
type change struct {
	operation *string
	progress  *install.Progress
	lastError *string
}

// add takes over what a later change tells.
func (c *change) add(later change) {
	if later.operation != nil {
		c.operation = later.operation
	}
	if later.progress != nil {
		c.progress = later.progress
	}
	if later.lastError != nil {
		c.lastError = later.lastError
	}
}

// without returns the change without what is told by the other one.
func (c change) without(other change) change {
	if other.operation != nil {
		c.operation = nil
	}
	if other.progress != nil {
		c.progress = nil
	}
	if other.lastError != nil {
		c.lastError = nil
	}
	return c
}

// changeOf reads RAUC's properties, as far as they have their types. The error names those that have not.
func changeOf(values map[string]dbus.Variant) (c change, err error) {
	var wrong []string
	for name, variant := range values {
		ok := true
		switch v := variant.Value(); name {
		case "Operation":
			c.operation, ok = text(v)
		case "LastError":
			c.lastError, ok = text(v)
		case "Progress":
			c.progress, ok = progressOf(v)
		}
		if !ok {
			wrong = append(wrong, name)
		}
	}
	if wrong != nil {
		sort.Strings(wrong)
		return c, fmt.Errorf("unexpected type of %s", strings.Join(wrong, ", "))
	}
	return c, nil
}

func text(v any) (*string, bool) {
	s, ok := v.(string)
	if !ok {
		return nil, false
	}
	return &s, true
}

// progressOf reads (isi). What is out of bounds is brought back to them: our own clients were promised them.
func progressOf(v any) (*install.Progress, bool) {
	fields, ok := v.([]any)
	if !ok || len(fields) != 3 {
		return nil, false
	}
	percent, ok1 := fields[0].(int32)
	step, ok2 := fields[1].(string)
	depth, ok3 := fields[2].(int32)
	if !ok1 || !ok2 || !ok3 {
		return nil, false
	}
	return &install.Progress{Percent: min(max(percent, 0), 100), Step: step, Depth: max(depth, 0)}, true
}

// changedProperties reads the body of PropertiesChanged. Stale says that RAUC keeps a new value to itself.
func changedProperties(body []any) (c change, stale bool, err error) {
	if len(body) != 3 {
		return c, false, errors.New("unexpected arguments of PropertiesChanged")
	}
	iface, ok1 := body[0].(string)
	values, ok2 := body[1].(map[string]dbus.Variant)
	invalidated, ok3 := body[2].([]string)
	if !ok1 || !ok2 || !ok3 {
		return c, false, errors.New("unexpected arguments of PropertiesChanged")
	}
	if iface != installer {
		return c, false, nil
	}
	for _, name := range invalidated {
		stale = stale || name == "Operation" || name == "Progress" || name == "LastError"
	}
	c, err = changeOf(values)
	return c, stale, err
}

// allOf reads the answer of GetAll.
func allOf(call *dbus.Call) (c change, err error) {
	if call.Err != nil {
		return c, call.Err
	}
	if len(call.Body) != 1 {
		return c, errors.New("unexpected answer of GetAll")
	}
	values, ok := call.Body[0].(map[string]dbus.Variant)
	if !ok {
		return c, errors.New("unexpected answer of GetAll")
	}
	if c, err = changeOf(values); err == nil && c.operation == nil {
		err = errors.New("no property Operation")
	}
	return c, err
}

// lastErrorOf reads the answer of Get, "" where there is none.
func lastErrorOf(call *dbus.Call) string {
	if call.Err != nil || len(call.Body) != 1 {
		return ""
	}
	variant, ok := call.Body[0].(dbus.Variant)
	if !ok {
		return ""
	}
	s, _ := variant.Value().(string)
	return s
}

// completedOf reads the body of Completed.
func completedOf(body []any) (result int32, err error) {
	if len(body) == 1 {
		if result, ok := body[0].(int32); ok {
			return result, nil
		}
	}
	return 0, errors.New("unexpected arguments of Completed")
}

// ownerOf reads the body of NameOwnerChanged; ok is false for other names than RAUC's.
func ownerOf(body []any) (owner string, ok bool) {
	if len(body) != 3 || body[0] != any(service) {
		return "", false
	}
	owner, ok = body[2].(string)
	return owner, ok
}

// saysBusy says whether an error is RAUC's refusal to do two things at once (service.c of 1.8 to 1.15 has this text).
func saysBusy(err error) bool {
	return err != nil && strings.Contains(strings.ToLower(err.Error()), "already processing a different method")
}
