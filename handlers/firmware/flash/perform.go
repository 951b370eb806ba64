package flash

import (
	"context"
	"errors"

	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// perform writes what differs and reads everything back. Nothing is changed where nothing differs.
func (w *work) perform(ctx context.Context) (r Report, err error) {
	if err := w.reopen(); err != nil {
		return r, errors.Join(err, w.layout.close())
	}
	defer func() {
		if failed := w.layout.close(); failed != nil && err == nil {
			err = fail.New(fail.IO, "cannot close the boot flash: %w", failed)
		}
	}()
	// What another process wrote since, or a cut left, counts: the flash is compared again.
	differ, r, err := compare(ctx, w.all())
	if err != nil {
		return r, err
	}
	run := writer{Report: r, ctx: ctx}
	if differ > 0 {
		err = run.write(w.jobs, w.mb1, w.table)
	}
	if err == nil {
		err = run.readBack(w.all())
	}
	if err != nil && run.invalid {
		// mb1 may be whole and another image is not. Who cannot erase any more has tried.
		_ = run.invalidate(w.mb1)
	}
	return run.Report, err
}
