package pack

import (
	"fmt"
	"strings"

	"github.com/tegra-ota/tegra-ota/swdesc/release"
)

// conditions is a POSIX shell script that says in one sentence why a device must not take the update, and exits 1 then. It runs
// with busybox, too. On a device TEGRA_OTA_ROOT is empty. "" where the release has no conditions.
//
// Every value in it was restricted to harmless characters when the release was read; quote is the second line of defence.
func conditions(r *release.Release) string {
	var b strings.Builder
	if r.MinimumVersion != "" {
		minimumVersion(&b, r)
	}
	for _, free := range r.Preconditions.FreeSpace {
		freeSpace(&b, free)
	}
	if n := r.Preconditions.BatteryPercent; n > 0 {
		fmt.Fprintf(&b, batteryScript, n)
	}
	if r.Preconditions.ACPower {
		b.WriteString(powerScript)
	}
	for _, name := range r.Preconditions.Services {
		fmt.Fprintf(&b, serviceScript, quote(name), quote("service "+name+" is not running"))
	}
	if b.Len() == 0 {
		return ""
	}
	return fmt.Sprintf(prologue, r.Version) + b.String()
}

// prologue: a program that is missing is named, or the answer it does not give would be taken for a no.
const prologue = `refuse() { echo "cannot install release %s: $*"; exit 1; }
need() { command -v "$1" >/dev/null || refuse "$1 is missing on this device"; }
root=${TEGRA_OTA_ROOT:-}
`

// serviceScript bounds a systemctl that gets no answer: SWUpdate waits for a hook without limit.
const serviceScript = `need systemctl; need timeout
timeout 10 systemctl is-active --quiet %s 2>/dev/null </dev/null || refuse %s
`

// minimumVersion compares the numbers in front, with or without a v. A pre-release ("1.2.0-rc1", "1.2.0rc1", "1.2.0~5") is older
// than its release; whatever else stands behind the numbers is a build of it ("1.2.0-r1").
func minimumVersion(b *strings.Builder, r *release.Release) {
	fmt.Fprintf(b, `minimum=%s
running=$(sed -n 's/^%s=//p' "$root%s" 2>/dev/null | tr -d "\"'" | head -n 1)
[ -n "$running" ] || refuse "no %s in %s tells which release runs; this one needs $minimum or newer"
case $running in
[0-9]* | [vV][0-9]*) ;;
*) refuse "release $running runs, which is no number; this one needs $minimum or newer" ;;
esac
need awk
printf '%%s\n' "$minimum" "$running" | awk '
	NR == 1 { m = split($0, z, "."); next }
	{
		sub(/^[vV]/, ""); rest = $0
		match(rest, /^[0-9]+(\.[0-9]+)*/); n = split(substr(rest, 1, RLENGTH), a, "."); rest = tolower(substr(rest, RLENGTH + 1))
		for (i = 1; i <= n || i <= m; i++) if (a[i] + 0 != z[i] + 0) exit (a[i] + 0 < z[i] + 0)
		exit (rest ~ /^~/ || rest ~ /^[-._]?(alpha|beta|dev|pre|rc|snapshot|a[0-9]|b[0-9])/)
	}
' || refuse "release $running runs, and it needs $minimum or newer"
`, quote(r.MinimumVersion), r.Running.Key, r.Running.File, r.Running.Key, r.Running.File)
}

// freeSpace asks df in its POSIX form, whose second line has the free blocks of 1024 bytes in column 4. A folder that is not there
// yet will be made in the nearest one that is.
func freeSpace(b *strings.Builder, f release.FreeSpace) {
	kib := (int64(f.Bytes) + 1023) / 1024
	fmt.Fprintf(b, `need df; need awk
dir=%s
while [ "$dir" ] && [ ! -e "$root$dir" ]; do dir=${dir%%/*}; done
free=$(df -Pk "$root$dir/" 2>/dev/null | awk 'NR == 2 { print $4 }')
[ -n "$free" ] || refuse %s
[ "$free" -ge %d ] || refuse %s" has $free KiB free, and it needs %d"
`, quote(f.Path), quote("the free space of "+f.Path+" is not known"), kib, quote(f.Path), kib)
}

// A device without a battery has none that could be low.
const batteryScript = `for supply in "$root"/sys/class/power_supply/*; do
	[ "$(cat "$supply/type" 2>/dev/null)" = Battery ] || continue
	[ "$(cat "$supply/scope" 2>/dev/null)" != Device ] || continue # a mouse's, say
	level=$(cat "$supply/capacity" 2>/dev/null)
	[ "${level:-0}" -ge %[1]d ] 2>/dev/null || refuse "the battery is at ${level:-an unknown level of} percent, and it needs %[1]d"
done
`

// A device that has no battery runs on external power. "online" is 1 for plugged in, 2 for programmable USB supplies.
const powerScript = `battery='' external=''
for supply in "$root"/sys/class/power_supply/*; do
	[ "$(cat "$supply/scope" 2>/dev/null)" != Device ] || continue
	case $(cat "$supply/type" 2>/dev/null) in
	Battery) battery=1 ;;
	Mains | USB*) [ "$(cat "$supply/online" 2>/dev/null)" -ge 1 ] 2>/dev/null && external=1 ;;
	esac
done
[ -z "$battery" ] || [ -n "$external" ] || refuse "it runs on its battery"
`

// quote makes one word of the shell.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

const hookName = "tegra_preconditions"

// hookScript is sw-description's embedded Lua: a hook that rejects the update while it is parsed, before the first byte is
// written. SWUpdate asks no script so early: an image that is installed while it arrives comes before every preinstall script.
// The shell's exit status is not used, because Lua 5.1 does not have it. swupdate.error takes a format, like string.format.
func hookScript(r *release.Release) string {
	script := conditions(r)
	if script == "" {
		return ""
	}
	return `require("swupdate")
local script = ` + luaString(script+"echo met\n") + `
function ` + hookName + `(image)
	local quoted = "'" .. script:gsub("'", "'\\''") .. "'"
	local p = io.popen("exec sh -c " .. quoted .. " 2>&1", "r")
	local said = p and p:read("*a") or "cannot run sh"
	if p then p:close() end
	if said:match("met\n$") then return true, image end
	swupdate.error("%s", (said:gsub("%s+$", "")))
	return false, image
end
`
}

// luaString writes a long string, whose first line break Lua drops.
func luaString(s string) string {
	level := ""
	for strings.Contains(s, "]"+level+"]") {
		level += "="
	}
	return "[" + level + "[\n" + s + "]" + level + "]"
}
