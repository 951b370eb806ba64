package backends_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// publish logs what a sweep did and leaves it in a file of the folder that TEGRA_OTA_CUTS names, for make test to print: go
// test shows no log of a package that passes. The file is the test's own, so that a cached run finds its count still there.
func (s *sweepTally) publish(t *testing.T) {
	t.Helper()
	t.Log(s)
	folder := os.Getenv("TEGRA_OTA_CUTS")
	if folder == "" || sweepFiltered() {
		return
	}
	if err := os.WriteFile(filepath.Join(folder, t.Name()+".txt"), []byte(fmt.Sprintf("%s: %s\n", t.Name(), s)), 0o644); err != nil {
		t.Error(err)
	}
}
