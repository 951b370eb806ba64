-- swupdate_handlers.lua: SWUpdate's way to tegra-ota. Installed as /usr/share/lua/5.3/swupdate_handlers.lua (5.4 or 5.5
-- where SWUpdate is linked with that); SWUpdate loads it by name at start. It registers
--   tegra-image     images:   properties { partition; size; sha256; update; }    APP, kernel or kernel-dtb of the other slot
--   tegra-bup       images:   properties { update; }                             boot firmware: a UEFI capsule (.Cap)
--   tegra-activate  scripts:  properties { update; }                             last step: the other slot boots next
-- and hands the bytes to /usr/libexec/tegra-ota/NAME, or $TEGRA_OTA_LIBEXEC/NAME. All decisions are made there.
--
-- Facts of SWUpdate 2022.12 (Debian 12, Lua 5.3) that shape this file; master of 2026-07 (Lua 5.4) behaves the same:
--   * image:read(callback) fails for images above 8 KiB (Lua 5.3) or 1 KiB (Lua 5.4): SWUpdate's chunks of 16 KiB are
--     larger than LUAL_BUFFERSIZE. image:copy2file() into a FIFO works, and decrypts, decompresses and hashes.
--   * A wrong hash or a truncated archive ends in a normal end of file for the program; only copy2file knows. Hence
--     every install is --unconfirmed until copy2file has returned 0 and the program 0, and is confirmed then.
--   * SWUpdate's sockets are not close-on-exec. A shell that stays around would keep them open, and a truncated file
--     given to "swupdate -i" would hang for good: "exec", always; the programs close what they inherit.
--   * Without a reader SWUpdate dies of SIGPIPE, without a line in its log: the program is checked before it is
--     started, and drains its input after an error.
--   * swupdate.error and its like pass their text through string.format: what others said is an argument, never the format.
--   * A script handler is called twice, as (image, "preinst") and (image, "postinst").
local swupdate = require("swupdate")

-- Lua 5.1's file:close() does not return the exit status: every failure would pass for a success.
if not table.unpack then
  error("tegra-ota's SWUpdate handlers need Lua 5.2 or newer, this is " .. _VERSION)
end

local LIBEXEC = os.getenv("TEGRA_OTA_LIBEXEC") or "/usr/libexec/tegra-ota"

-- The README's table of exit codes, in words.
local EXIT = {
  [1] = "no", [64] = "usage: wrong arguments", [65] = "data: the file is at fault",
  [69] = "unavailable: the device is not in a state for this", [70] = "internal: a bug in tegra-ota",
  [74] = "io: reading or writing failed", [75] = "busy: another process works, or the running slot is not committed",
  [77] = "permission: more privilege is needed", [126] = "not executable", [127] = "not found",
}
local BUSY = 75

local function quote(s) return "'" .. tostring(s):gsub("'", "'\\''") .. "'" end

local function command(words)
  local quoted = {}
  for i, w in ipairs(words) do quoted[i] = quote(w) end
  return table.concat(quoted, " ")
end

local function program(name)
  local path = LIBEXEC .. "/" .. name
  if os.execute("test -f " .. quote(path) .. " && test -x " .. quote(path)) then return path end
  return nil, path .. " is missing or not executable; install tegra-ota, or set TEGRA_OTA_LIBEXEC"
end

-- lines returns what a program wrote, ready for one log line each: no blank lines, no control characters, and without
-- the program's name in front, which the log line gets anyway.
local function lines(path, name)
  local out, f = {}, io.open(path)
  if not f then return out end
  for raw in f:lines() do -- not assigned to: Lua 5.5 calls that an error before the first line runs
    local line = raw:gsub("%c", " "):gsub("%s+$", "")
    if line:sub(1, #name + 2) == name .. ": " then line = line:sub(#name + 3) end
    if line ~= "" then out[#out + 1] = line:sub(1, 1500) end
  end
  f:close()
  return out
end

-- scratch makes a directory that only we can enter; the FIFO and the programs' output lie in it.
local function scratch()
  local base = swupdate.tmpdir()
  local p = io.popen("exec mktemp -d " .. quote(base .. "/tegra-ota.XXXXXX"), "r")
  local dir = p and p:read("*l")
  if p then p:close() end
  if dir and dir ~= "" then return dir end
  return nil, "cannot make a temporary directory in " .. base
end

local function remove(dir)
  for _, name in ipairs({ "image", "opened", "out", "err" }) do os.remove(dir .. "/" .. name) end
  os.remove(dir)
end

local function relay(name, said)
  for _, line in ipairs(said) do
    local log = line:find("^warning: ") and swupdate.warn or swupdate.info
    log("%s: %s", name, line)
  end
end

-- verdict turns the end of a program into nil for success, or one line that names the cause and the exit code.
local function verdict(name, dir, ok, how, code)
  local said = lines(dir .. "/err", name)
  local cause = not ok and table.remove(said) or nil
  relay(name, said)
  relay(name, lines(dir .. "/out", name))
  if ok then return nil end
  if how == "signal" then
    how = "killed by signal " .. tostring(code)
  else
    how = "exit " .. tostring(code) .. (EXIT[code] and ", " .. EXIT[code] or "")
  end
  return (cause or "no message") .. " (" .. how .. ")"
end

-- run runs NAME ARGS to its end and returns nil or the error, and the exit code.
local function run(name, ...)
  local path, msg = program(name)
  if not path then return msg end
  local dir
  dir, msg = scratch()
  if not dir then return msg end
  local redirect = " </dev/null >" .. quote(dir .. "/out") .. " 2>" .. quote(dir .. "/err")
  local ok, how, code = os.execute("exec " .. command({ path, ... }) .. redirect)
  local err = verdict(name, dir, ok, how, code)
  remove(dir)
  return err, code
end

-- feed runs NAME ARGS with the image on its standard input. It returns nil or the error, and the exit code.
local function feed(image, name, ...)
  local path, msg = program(name)
  if not path then return msg end
  local dir
  dir, msg = scratch()
  if not dir then return msg end
  local fifo, opened = dir .. "/image", dir .. "/opened"
  if not os.execute("mkfifo -m 600 " .. quote(fifo)) then
    remove(dir)
    return "cannot make the FIFO " .. fifo
  end
  local p
  p, msg = io.popen("exec <" .. quote(fifo) .. " && : >" .. quote(opened) .. " && exec " .. command({ path, ... })
    .. " >" .. quote(dir .. "/out") .. " 2>" .. quote(dir .. "/err"), "r")
  if not p then
    remove(dir)
    return "cannot start " .. path .. ": " .. tostring(msg)
  end
  local copied, why = image:copy2file(fifo)
  if copied ~= 0 then
    -- copy2file may fail before it opened the FIFO; then the shell waits for a writer, and close below for the shell.
    local f = io.open(opened)
    if f then f:close() else os.execute("timeout 2 sh -c ': >\"$0\"' " .. quote(fifo)) end
  end
  local ok, how, code = p:close()
  local err = verdict(name, dir, ok, how, code)
  remove(dir)
  if copied ~= 0 then
    local broken = "SWUpdate could not deliver the whole image as signed: " .. tostring(why)
    if err and how ~= "signal" then broken = broken .. "; " .. name .. " said: " .. err end
    if err and how == "signal" then broken = err .. "; " .. broken end
    return broken, code
  end
  return err, code
end

-- report writes an error to SWUpdate's log, which hawkBit is sent too, and to those who watch the progress: of all
-- notifications SWUpdate 2022.12 passes only PROGRESS on to them.
local function report(text)
  swupdate.error("%s", text)
  swupdate.notify(swupdate.RECOVERY_STATUS.PROGRESS, 0, text)
end

-- fail reports, and takes back what the failed update staged. Not after "busy": then the update in flight is somebody
-- else's.
local function fail(name, image, err, code)
  report(string.format("%s %s: %s", name, tostring(image.filename), err))
  if code == BUSY then return 1 end
  local failed = run("tegra-bootctl", "abort")
  if failed then report("tegra-bootctl abort: " .. failed) end
  return 1
end

-- checked reads an image's properties. Unknown ones are an error: SWUpdate ignores a misspelt attribute silently, and
-- a misspelt sha256 must not switch a check off.
local function checked(image, allowed)
  local known, values = {}, {}
  for _, key in ipairs(allowed) do known[key] = true end
  for key, value in pairs(image.properties or {}) do
    if not known[key] then
      return nil, "unknown property " .. tostring(key) .. "; known are " .. table.concat(allowed, ", ")
    end
    if type(value) == "table" then return nil, "property " .. key .. " must be one value, not a list" end
    values[key] = tostring(value)
  end
  return values
end

local function options(values, keys)
  local args = {}
  for _, key in ipairs(keys) do
    if values[key] and values[key] ~= "" then
      args[#args + 1] = "--" .. key
      args[#args + 1] = values[key]
    end
  end
  return args
end

-- install feeds the image to NAME, whose confirm understands fewer options than its install.
local function install(image, name, keys, confirming)
  local values, msg = checked(image, keys)
  if not values then return fail(name, image, msg) end
  local args = options(values, keys)
  args[#args + 1] = "-"
  local err, code = feed(image, name, "install", "--unconfirmed", table.unpack(args))
  if err then return fail(name, image, err, code) end
  err, code = run(name, "confirm", table.unpack(options(values, confirming)))
  if err then return fail(name, image, "confirm: " .. err, code) end
  return 0
end

local function tegra_image(image)
  return install(image, "tegra-image", { "partition", "size", "sha256", "update" }, { "partition", "update" })
end

local function tegra_bup(image)
  return install(image, "tegra-bup", { "update" }, { "update" })
end

local function tegra_activate(image, stage)
  if stage ~= "postinst" then return 0 end
  local values, msg = checked(image, { "update" })
  if not values then return fail("tegra-activate", image, msg) end
  local err, code = run("tegra-bootctl", "activate", table.unpack(options(values, { "update" })))
  if err then return fail("tegra-activate", image, err, code) end
  swupdate.info("tegra-activate: the updated slot boots next")
  return 0
end

swupdate.register_handler("tegra-image", tegra_image, swupdate.HANDLER_MASK.IMAGE_HANDLER)
swupdate.register_handler("tegra-bup", tegra_bup, swupdate.HANDLER_MASK.IMAGE_HANDLER)
swupdate.register_handler("tegra-activate", tegra_activate, swupdate.HANDLER_MASK.SCRIPT_HANDLER)
