// Command tegra-ota holds every executable that runs on the device: tegra-bup, tegra-image, tegra-bootctl,
// tegra-boot-verify, tegra-boot-handler and tegra-slotd.
//
// The name it is called by decides which one it is; called as tegra-ota, its first argument does. One binary carries the run
// time and the libraries once, which matters on a root file system that exists twice.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/tegra-ota/tegra-ota/internal/cli"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// programs are the executables, in the order help lists them.
func programs() []cli.Program {
	return []cli.Program{bupProgram(), imageProgram(), bootctlProgram(), bootVerifyProgram(), bootHandlerProgram(), slotdProgram()}
}

func main() { os.Exit(run()) }

func run() int {
	if err := closeInherited(); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", filepath.Base(os.Args[0]), err)
		return int(fail.Internal)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	name, args := filepath.Base(os.Args[0]), os.Args[1:]
	if find(name) == nil && handlerNames[name] == "" && len(args) > 0 {
		name, args = args[0], args[1:]
	}
	if verb := handlerNames[name]; verb != "" {
		name, args = "tegra-boot-handler", handlerArguments(verb, args)
	}
	p := find(name)
	if p == nil {
		return usage(name, filepath.Base(os.Args[0]))
	}
	if streams(*p, args) {
		return feedWorker(ctx, *p, args)
	}
	env := cli.Process(withoutWorkerFlag(args))
	if contains(args, workerFlag) {
		env.Stdin = workerStdin(ctx)
	}
	return cli.Run(ctx, env, *p)
}

// handlerArguments are those of a handler of RAUC's. RAUC 1.8 passes on what the bundle's manifest says for another one; that is
// not meant for us.
func handlerArguments(verb string, args []string) []string {
	if os.Getenv("RAUC_BUNDLE_MOUNT_POINT") != "" {
		args = nil
	}
	return append([]string{verb}, args...)
}

// find returns the program of a name. nvbootctrl is tegra-bootctl under NVIDIA's name: it speaks NVIDIA's commands, so that
// scripts need no change, and its errors start with the name it was called by.
func find(name string) *cli.Program {
	for _, p := range programs() {
		if p.Name == name || p.Name == "tegra-bootctl" && name == "nvbootctrl" {
			p.Name = name
			return &p
		}
	}
	return nil
}

// usage lists the executables for a name that is none of them; self is the name of the binary as it was called.
func usage(name, self string) int {
	out, code := os.Stderr, fail.Usage
	if name == "--help" || name == "-h" || name == "help" {
		out, code = os.Stdout, fail.OK
	}
	if name == "--version" {
		fmt.Println("tegra-ota", cli.Version)
		return int(fail.OK)
	}
	if code == fail.Usage && name != "tegra-ota" {
		fmt.Fprintf(out, "%s: cannot run %q: there is no such executable; these are there:\n\n", self, name)
	}
	fmt.Fprint(out, "tegra-ota: boot firmware and slots of NVIDIA Jetson for SWUpdate, RAUC and Mender\n\n"+
		"usage: tegra-ota EXECUTABLE ARGUMENTS..., or call it by an executable's name\n\n")
	for _, p := range programs() {
		fmt.Fprintf(out, "  %-18s %s\n", p.Name, p.Summary)
	}
	return int(code)
}
