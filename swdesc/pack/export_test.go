package pack

import "github.com/tegra-ota/tegra-ota/swdesc/release"

// What the tests judge with a real shell and a real Lua.
func Conditions(r *release.Release) string { return conditions(r) }
func HookScript(r *release.Release) string { return hookScript(r) }

// WorkFolder is where a plan's temporary files lie.
func (p *Plan) WorkFolder() string { return p.work }
