package rauc

import (
	"testing"

	"github.com/godbus/dbus/v5"

	"github.com/tegra-ota/tegra-ota/dbusapi/install"
)

// TestOrders plays the orders in which RAUC tells of an install; after each it plays a good one, which must be followed as well.
func TestOrders(t *testing.T) {
	for _, tt := range []struct {
		name string
		play func(t *testing.T, r *fake)
		want []install.Event
	}{
		{"1.8, good", good, goodEvents},
		{"the last step of the install before", func(t *testing.T, r *fake) {
			r.progress(t, 100, "Installing done.", 1) // a Progress outside an install is nothing: rauc status causes some in 1.8
			good(t, r)
		}, goodEvents},
		{"the same step twice", func(t *testing.T, r *fake) {
			r.operation(t, installing)
			r.progress(t, 20, "Copying", 2)
			r.progress(t, 20, "Copying", 2)
			r.progress(t, 21, "Copying", 2)
			r.completed(t, 0)
			r.operation(t, idle)
		}, []install.Event{begins, advanced(20, "Copying", 2), advanced(21, "Copying", 2), success}},
		{"all in one signal", func(t *testing.T, r *fake) {
			r.say(t, map[string]dbus.Variant{"Operation": dbus.MakeVariant(installing), "LastError": dbus.MakeVariant(""),
				"Progress": progress(1, "Installing", 1)})
			r.completed(t, 0)
			r.operation(t, idle)
		}, []install.Event{started(1, "Installing", 1), success}},
		{"1.8, failure", func(t *testing.T, r *fake) {
			r.operation(t, installing)
			r.progress(t, 0, "Installing", 1)
			r.lastError(t, "Installation error: no")
			r.completed(t, 1)
			r.operation(t, idle)
		}, []install.Event{begins, advanced(0, "Installing", 1), failed("Installation error: no")}},
		{"the reason is not told, and asked", func(t *testing.T, r *fake) {
			r.operation(t, installing)
			r.keep(map[string]dbus.Variant{"LastError": dbus.MakeVariant("a secret")})
			r.completed(t, 1)
			r.operation(t, idle)
		}, []install.Event{begins, failed("a secret")}},
		{"there is no reason", func(t *testing.T, r *fake) {
			r.operation(t, installing)
			r.completed(t, 2)
			r.operation(t, idle)
		}, []install.Event{begins, failed(noReason)}},
		{"the reason has another type", func(t *testing.T, r *fake) {
			r.operation(t, installing)
			r.keep(map[string]dbus.Variant{"LastError": dbus.MakeVariant(7)})
			r.completed(t, 2)
			r.operation(t, idle)
		}, []install.Event{begins, failed(noReason)}},
		{"idle without Completed", func(t *testing.T, r *fake) {
			r.operation(t, installing)
			r.operation(t, idle)
		}, []install.Event{begins, failed(unseen)}},
		{"idle without Completed, with a reason", func(t *testing.T, r *fake) {
			r.operation(t, installing)
			r.lastError(t, "no more")
			r.operation(t, idle)
		}, []install.Event{begins, failed("no more")}},
		{"1.8, a second install is refused", func(t *testing.T, r *fake) {
			r.setBusy(true)
			r.operation(t, installing)
			r.progress(t, 20, "Copying", 2)
			r.operation(t, idle)
			r.progress(t, 40, "Copying", 2)
			r.progress(t, 100, "Installing done.", 1)
			r.completed(t, 0)
			r.setBusy(false)
		}, []install.Event{begins, advanced(20, "Copying", 2), advanced(40, "Copying", 2), advanced(100, "Installing done.", 1), success}},
		{"RAUC starts an install by itself", func(t *testing.T, r *fake) {
			r.progress(t, 100, "Installing done.", 1)
			r.completed(t, 0)
		}, []install.Event{started(100, "Installing done.", 1), success}},
		{"an install follows an end that was not told", func(t *testing.T, r *fake) {
			r.setBusy(true)
			r.operation(t, installing)
			r.operation(t, idle)
			r.operation(t, installing)
			r.completed(t, 0)
			r.setBusy(false)
			r.operation(t, idle)
		}, []install.Event{begins, failed(unseen), begins, success}},
		{"out of bounds", func(t *testing.T, r *fake) {
			r.operation(t, installing)
			r.progress(t, 120, "too far", -1)
			r.progress(t, -5, "too early", 1)
			r.completed(t, 0)
			r.operation(t, idle)
		}, []install.Event{begins, advanced(100, "too far", 0), advanced(0, "too early", 1), success}},
		{"other types, paths, names, interfaces", func(t *testing.T, r *fake) {
			r.operation(t, installing)
			changed := properties + ".PropertiesChanged"
			lie := map[string]dbus.Variant{"Progress": progress(99, "not ours", 9), "Operation": dbus.MakeVariant(idle)}
			r.emit(t, "/other", changed, installer, lie, []string{})
			r.emit(t, object, changed, installer+"2", lie, []string{})
			r.emit(t, object, changed, installer, []string{"no map"}, []string{})
			r.emit(t, object, changed, installer)
			r.emit(t, "/other", installer+".Completed", int32(1))
			r.emit(t, object, installer+"2.Completed", int32(1))
			r.emit(t, object, installer+".Completed")
			r.emit(t, object, installer+".Completed", "1")
			r.emit(t, object, installer+".Completed", uint32(1))
			r.emit(t, object, changed, installer, map[string]dbus.Variant{"Operation": dbus.MakeVariant(0),
				"LastError": dbus.MakeVariant([]string{"a"}), "Progress": progress(3, "good all the same", 1)}, []string{})
			r.completed(t, 0)
			r.operation(t, idle)
		}, []install.Event{begins, advanced(3, "good all the same", 1), success}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, r, rec := scene(t)
			tt.play(t, r)
			rec.want(t, tt.want...)
			r.lastError(t, "")
			good(t, r)
			rec.want(t, goodEvents...)
			rec.none(t)
		})
	}
}

// good is what RAUC 1.8 tells of an install that succeeds.
func good(t *testing.T, r *fake) {
	t.Helper()
	r.operation(t, installing)
	r.say(t, map[string]dbus.Variant{"Progress": progress(0, "Installing", 1), "LastError": dbus.MakeVariant("")})
	r.progress(t, 20, "Determining slot states", 2)
	r.progress(t, 99, "Updating slots done.", 2)
	r.progress(t, 100, "Installing done.", 1)
	r.completed(t, 0)
	r.operation(t, idle)
}

var goodEvents = []install.Event{begins, advanced(0, "Installing", 1), advanced(20, "Determining slot states", 2),
	advanced(99, "Updating slots done.", 2), advanced(100, "Installing done.", 1), success}
