package guest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// modulesFolder is where the initramfs has the kernel's modules, with their loading order beside them.
const modulesFolder = "/modules"

// LoadModules loads what the host picked, in the order it wrote down.
func LoadModules() error {
	order, err := os.ReadFile(filepath.Join(modulesFolder, "order"))
	if err != nil {
		return fmt.Errorf("cannot load the kernel's modules: %w", err)
	}
	for _, name := range strings.Fields(string(order)) {
		if err := loadModule(filepath.Join(modulesFolder, name)); err != nil {
			return fmt.Errorf("cannot load module %s: %w", name, err)
		}
	}
	return nil
}

func loadModule(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	flags := 0
	if filepath.Ext(path) != ".ko" { // .ko.xz, .ko.zst: the kernel unpacks them itself
		flags = unix.MODULE_INIT_COMPRESSED_FILE
	}
	return unix.FinitModule(int(f.Fd()), "", flags)
}
