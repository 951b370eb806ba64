// Command swdesc makes updates for a Jetson on the build host: it reads one release description, checks everything that a device
// would refuse, and writes the update for SWUpdate, RAUC or Mender; it also checks what others wrote.
//
// # Synopsis
//
//	swdesc pack RELEASE.toml -o FILE [--format swu|rauc-dir|mender] [--key KEY --cert CERT | --sign-command CMD --cert CERT]
//	swdesc check FILE.swu|sw-description|RELEASE.toml
//	swdesc verify FILE.swu --cert CERT
//	swdesc render RELEASE.toml
//	swdesc import MANIFEST.json --signature FILE --public-key KEY
//
// # Description
//
// A release description is a TOML file; the README names the example that explains every key. Images are looked into without
// mounting them, by debugfs of e2fsprogs, and read in constant memory. Standard output has the result, or one JSON object with
// --json; standard error the log, and on a terminal the progress.
//
// # Exit status
//
// 0 when nothing stands in the way of the update; 65 when an error was found in it; the others as the README's table of exit codes
// says.
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
	// Whoever signals twice does not want to wait for a file that does not answer.
	context.AfterFunc(ctx, stop)
	// A reader that went away is an error like others, after which temporary files are removed.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	code := cli.Run(ctx, cli.Process(os.Args[1:]), program())
	stop()
	os.Exit(code)
}
