package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tegra-ota/tegra-ota/swdesc/pack"
)

// tick is how often the line is written again.
const tick = 100 * time.Millisecond

// progressOn returns a progress line on a terminal, and nil where the log goes to a file or a pipe.
func progressOn(w io.Writer) (report pack.Progress, end func()) {
	f, ok := w.(*os.File)
	if !ok {
		return nil, func() {}
	}
	if _, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS); err != nil {
		return nil, func() {}
	}
	var last time.Time
	shown := false
	report = func(step string, done, total int64) {
		if time.Since(last) < tick && done < total {
			return
		}
		last, shown = time.Now(), true
		fmt.Fprintf(f, "\r%s: %3d %%, %s of %s\x1b[K", step, percent(done, total), bytesText(done), bytesText(total))
	}
	return report, func() {
		if shown {
			fmt.Fprint(f, "\r\x1b[K")
		}
	}
}

func percent(done, total int64) int64 {
	if total <= 0 {
		return 100
	}
	return int64(float64(done) / float64(total) * 100)
}

// bytesText names a size with one digit behind the point.
func bytesText(n int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	v, u := float64(n), 0
	for v >= 1024 && u < len(units)-1 {
		v, u = v/1024, u+1
	}
	if u == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", v, units[u])
}
