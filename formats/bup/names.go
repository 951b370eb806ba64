package bup

// The names that firmware wants to find in a package before it takes it, by chip (edk2-nvidia's
// FmpDeviceLib/FwImageNames.c). It is the running firmware that asks, so that its release decides which list holds.
// The name secondary_gpt is not among them, though an update that changes the partition table needs it.
var (
	// RequiredT234 is for Orin with R36 and later.
	RequiredT234 = []string{
		"bpmp-fw", "bpmp-fw-dtb", "cpu-bootloader", "mb1", "MB1_BCT", "mb2", "MEM_BCT", "sc7",
		"adsp-fw", "dce-fw", "mb2rf", "mts-mce", "nvdec", "psc_bl1", "psc-fw", "pscrf", "pva-fw", "secure-os", "spe-fw",
		"rce-fw", "VER",
	}
	// RequiredT234R35 is for Orin with R35, whose lists (r35.5.0, r35.6.4) lack pva-fw.
	RequiredT234R35 = []string{
		"bpmp-fw", "bpmp-fw-dtb", "cpu-bootloader", "mb1", "MB1_BCT", "mb2", "MEM_BCT", "sc7",
		"adsp-fw", "dce-fw", "mb2rf", "mts-mce", "nvdec", "psc_bl1", "psc-fw", "pscrf", "secure-os", "spe-fw",
		"rce-fw", "VER",
	}
	// RequiredT264 is for Thor.
	RequiredT264 = []string{
		"bpmp-fw", "bpmp-fw-dtb", "cpu-bootloader", "mb1", "MB1_BCT", "mb2", "MEM_BCT", "sc7",
		"adsp0-fw", "adsp1-fw", "psc_bl1", "psc-fw", "rce-fw", "VER",
	}
	// RequiredT194 is for Xavier with the UEFI of R35; R32 has no such list.
	RequiredT194 = []string{
		"bpmp-fw", "bpmp-fw-dtb", "cpu-bootloader", "mb1", "MB1_BCT", "mb2", "MEM_BCT", "sc7",
		"adsp-fw", "mts-mce", "rce-fw", "secure-os", "spe-fw", "VER", "bootloader-dtb", "mts-preboot", "mts-proper",
	}

	// RequiredT186R32 and RequiredT194R32 are for TX2 and Xavier with L4T R32, whose tools have no such list. T186's are the
	// names that stand in the one long public dump (meta-tegra issue 744); T194's those of LineageOS's generator of such packages
	// (android_device_nvidia_galen, flash_package/firmware.mk). Their lack would leave a chain of two releases (inferred).
	RequiredT186R32 = []string{"bpmp-fw", "cpu-bootloader", "mb1", "mb2", "adsp-fw", "sce-fw", "secure-os", "spe-fw"}
	RequiredT194R32 = []string{
		"bpmp-fw", "bpmp-fw-dtb", "cpu-bootloader", "bootloader-dtb", "mb1", "MB1_BCT", "MEM_BCT", "mb2", "sc7", "adsp-fw", "rce-fw",
		"secure-os", "spe-fw", "mts-preboot", "mts-mce", "mts-proper", "VER",
	}
)
