package virtual

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/tegra-ota/tegra-ota/formats/capsule"
)

// state is what firmware keeps in its variable store without showing it to Linux: the variables of the token-space GUID
// ed3374ef-767b-42fa-af70-db520a392822 (BootChainDxe.c) and FmpDxe's records, which ESRT is made of.
type state struct {
	Previous   *uint32         `json:"BootChainFwPrevious"`
	ResetCount *uint32         `json:"BootChainFwResetCount"`
	Lowest     capsule.Version `json:"LowestSupportedVersion"`
	Attempt    capsule.Version `json:"LastAttemptVersion"`
	Status     uint32          `json:"LastAttemptStatus"`
	Rotate     uint32          `json:"rotate_count,omitempty"` // cboot's, in a scratch register: JetPack 4 only
	RootRetry  *uint8          `json:"root_retry,omitempty"`   // the same register, RootfsOnly
	Boots      uint64          `json:"boots"`                  // counts Linux kernels started; boot_id follows from it
}

func (o *Orin) readState() (state, error) {
	var st state
	raw, err := os.ReadFile(o.path(stateFile))
	if err != nil {
		return st, fmt.Errorf("cannot read the firmware's private variables: %w", err)
	}
	if err := json.Unmarshal(raw, &st); err != nil {
		return st, fmt.Errorf("cannot read the firmware's private variables: %w", err)
	}
	return st, nil
}

// readText reads a file of the folder without the blanks around it.
func (o *Orin) readText(path string) (string, error) {
	raw, err := os.ReadFile(o.path(path))
	return strings.TrimSpace(string(raw)), err
}

func (o *Orin) writeState(st state) error {
	raw, err := json.MarshalIndent(st, "", "  ")
	if err != nil {
		return fmt.Errorf("cannot write the firmware's private variables: %w", err)
	}
	return o.write(stateFile, append(raw, '\n'))
}

// writeESRT shows the firmware's record of capsules to Linux (UEFI specification 2.10, 23.4; drivers/firmware/efi/esrt.c).
func (o *Orin) writeESRT(st state, running capsule.Version) error {
	if running == unknownVersion {
		running = 0
	}
	for _, f := range []struct {
		name, text string
	}{
		{"fw_class", o.board.FwClass},
		{"fw_type", "1"},
		{"fw_version", fmt.Sprint(uint32(running))},
		{"lowest_supported_fw_version", fmt.Sprint(uint32(st.Lowest))},
		{"capsule_flags", "0x0"},
		{"last_attempt_version", fmt.Sprint(uint32(st.Attempt))},
		{"last_attempt_status", fmt.Sprint(st.Status)},
	} {
		if err := o.write(esrtDir+"/"+f.name, []byte(f.text+"\n")); err != nil {
			return err
		}
	}
	return nil
}
