package firmware

import "github.com/tegra-ota/tegra-ota/formats/bup"

// For the tests: the reader of VER, and the choice for a board without a file around the package.
var ParseVersionText = parseVersionText

func Match(b Board, p *bup.Package, required []string) bup.Selection { return b.match(p, required) }
