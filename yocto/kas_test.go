package yocto_test

import (
	"path/filepath"
	"testing"
)

// validate holds the files to the schema of the kas that is installed, and to the rules that it does not know: every foreign layer is
// pinned to a commit of the release's branch, and a file of an updater has the base of its own release.
const validate = `
import json, os, re, sys
import jsonschema, kas, yaml
with open(os.path.join(os.path.dirname(kas.__file__), "schema-kas.json")) as f:
    schema = json.load(f)
for path in sys.argv[1:]:
    with open(path) as f:
        conf = yaml.safe_load(f)
    jsonschema.validate(conf, schema)
    name = os.path.basename(path)
    release = re.search("scarthgap|wrynose", name).group(0)
    for repo, what in conf.get("repos", {}).items():
        if repo == "tegra-ota":
            continue
        assert re.fullmatch("[0-9a-f]{40}", what["commit"]), (name, repo, "is not pinned")
        want = {"scarthgap": "2.8", "wrynose": "2.18"}[release] if repo == "bitbake" else release
        assert what["branch"] == want, (name, repo, what["branch"])
    base = "yocto/kas/tegra-ota-%s.yml" % release
    assert name == os.path.basename(base) or conf["header"]["includes"] == [base], (name, "does not include", base)
    assert conf["header"]["version"] == 14, name
    updater = name.split("-")[-1].split(".")[0]
    assert name == os.path.basename(base) or 'TEGRA_OTA_UPDATER = "%s"' % updater in str(conf["local_conf_header"]), name
print(len(sys.argv) - 1)
`

// TestKas has kas' own schema judge the build descriptions.
func TestKas(t *testing.T) {
	files, err := filepath.Glob("kas/*.yml")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != 8 {
		t.Errorf("%d files in kas, want base and three updaters for two releases", len(files))
	}
	must(t, nil, "../build/_python/bin/python", append([]string{"-c", validate}, files...)...)
}
