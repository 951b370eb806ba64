// Command virtual-orin is a Jetson Orin, or an older one with JetPack 4, in a folder: it makes one, boots it, shows what it
// holds, and builds firmware for it.
//
// # Synopsis
//
//	virtual-orin create DIR [--module p3767-0005] [--l4t 36.4.0] [--redundancy 0|1|absent] [--app-size 64M]
//	virtual-orin boot DIR [--cold|--warm] [--fail firmware|kernel|userspace] [--cut N|--cut-phase NAME] [--userspace CMD]
//	virtual-orin status DIR
//	virtual-orin capsule -o FILE --l4t VERSION [--spec SPEC]...
//	virtual-orin bup -o FILE --module MODULE --l4t VERSION [--damage HOW]
//	virtual-orin programs DIR [--nvbootctrl DIALECT] [--nvbootctrl-fail FAIL] [--engine-payload] [--engine-fail FAIL]
//	virtual-orin program DIR nvbootctrl|nv_update_engine [ARGUMENT...]
//
// # Description
//
// An update client runs on the folder with TEGRA_OTA_ROOT=DIR; boot then does what the firmware would do between two
// boots. Standard output has a timeline in plain sentences, or one JSON object with --json.
//
// # Exit status
//
// 0 when Linux userspace runs (boot) or the command is done; 1 when userspace does not run; 64 and above as the README's
// table of exit codes says.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/tegra-ota/tegra-ota/internal/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := cli.Run(ctx, cli.Process(os.Args[1:]), program())
	stop()
	os.Exit(code)
}
