package swupdate_test

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// harness stands for SWUpdate where the real one of this machine cannot be made to: another Lua, and a copy2file that
// fails before it opens its target. It prints what the handler returned and every log line.
const harness = `
local handlers = {}
-- Like SWUpdate (corelib/lua_interface.c, notify_helper).
local function log(level) return function(...) print(level .. " " .. string.format(...)) end end
package.preload.swupdate = function() return {
  HANDLER_MASK = { IMAGE_HANDLER = 1, SCRIPT_HANDLER = 8 }, tmpdir = function() return arg[2] .. "/" end,
  register_handler = function(name, f) handlers[name] = f end,
  info = log("INFO"), warn = log("WARN"), error = log("ERROR"),
  RECOVERY_STATUS = { PROGRESS = 8 }, notify = function(status) assert(status == 8) end, } end
package.path = arg[1] .. "/?.lua"
require("swupdate_handlers")
local image = { filename = "image", properties = { partition = "APP" } }
function image:copy2file(path)
  if arg[3] == "never" then return -1, "cannot open" end
  local f = assert(io.open(path, "w")); f:write(("x"):rep(100000)); f:close()
  return 0, nil
end
print("image", handlers["tegra-image"](image))
image.properties = {}
print("preinst", handlers["tegra-activate"](image, "preinst"))
print("postinst", handlers["tegra-activate"](image, "postinst"))
`

// TestGlueLua runs the glue in each Lua version that SWUpdate is linked with: 5.3 in Debian 12, 5.4 in Yocto scarthgap, 5.5 in
// wrynose, for which Debian has no package.
func TestGlueLua(t *testing.T) {
	for _, lua := range []string{"lua5.3", "lua5.4", "../../.ci/lua5.5"} {
		for _, tt := range []struct{ name, copy, want string }{
			{"good", "", "INFO tegra-image: done by tegra-image\nINFO tegra-image: done by tegra-image\nimage\t0\npreinst\t0\n" +
				"INFO tegra-bootctl: done by tegra-bootctl\nINFO tegra-activate: the updated slot boots next\npostinst\t0\n"},
			{"copy2file fails before it opens the FIFO", "never", "INFO tegra-image: done by tegra-image\n" +
				"ERROR tegra-image image: SWUpdate could not deliver the whole image as signed: cannot open\n" +
				"INFO tegra-bootctl: done by tegra-bootctl\nimage\t1\npreinst\t0\n" +
				"INFO tegra-bootctl: done by tegra-bootctl\nINFO tegra-activate: the updated slot boots next\npostinst\t0\n"},
		} {
			t.Run(filepath.Base(lua)+" "+tt.name, func(t *testing.T) {
				dir, tmp := standIns(t, nil), t.TempDir()
				script := filepath.Join(t.TempDir(), "harness.lua")
				write(t, script, []byte(harness))
				c := exec.Command(lua, script, suite.glue, tmp, tt.copy)
				c.Env = append(c.Environ(), "TEGRA_OTA_LIBEXEC="+dir)
				var out bytes.Buffer
				c.Stdout, c.Stderr = &out, &out
				stop := time.AfterFunc(time.Minute, func() { _ = c.Process.Kill() })
				defer stop.Stop()
				if err := c.Run(); err != nil {
					t.Fatalf("%s: %v\n%s", lua, err, out.String())
				}
				if out.String() != tt.want {
					t.Errorf("got\n%swant\n%s", out.String(), tt.want)
				}
				if left, _ := filepath.Glob(tmp + "/*"); len(left) > 0 {
					t.Errorf("left behind: %v", left)
				}
			})
		}
	}
}
