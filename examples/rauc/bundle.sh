#!/bin/sh
# bundle.sh: makes a RAUC bundle of a root file system, of boot firmware, or of both, from the manifest beside this file, on a
# build host with RAUC 1.8 or newer and squashfs-tools.
set -eu
usage() {
	cat <<'USAGE'
usage: bundle.sh [--format verity|plain] {--demo-ca DIR | --cert FILE --key FILE} --version VERSION
                 [--rootfs IMAGE] [--firmware CAPSULE] OUT.raucb
       bundle.sh --demo-ca DIR

  --format    verity (default); plain is for machines without dm-verity, such as the demo's, and not for devices
  --demo-ca   sign with DIR/cert.pem and DIR/key.pem; DIR/ca.cert.pem is the device's keyring. Made if missing, for tests
              only; with nothing else on the command line, that is all
  --cert, --key   sign with your own (files or PKCS#11 URLs). The certificate needs the extended key usage codeSigning
              (check-purpose=codesign in system.conf), and emailProtection for RAUC's tools that read no system.conf
  --rootfs    an ext4 image
  --firmware  a UEFI capsule (TEGRA_BL.Cap)

A crypt bundle takes the recipients' certificates as well: run "rauc bundle" and "rauc encrypt" (RAUC 1.7) yourself.
USAGE
}
die() { echo "bundle.sh: $*" >&2; exit 1; }
wrong() { echo "bundle.sh: $*" >&2; usage >&2; exit 64; }

# demo_ca DIR: a certificate authority and a signer; their keys lie about unprotected.
demo_ca() (
	mkdir -p "$1"
	cd "$1"
	printf '%s\n' basicConstraints=critical,CA:TRUE keyUsage=critical,keyCertSign,cRLSign subjectKeyIdentifier=hash >ca.ext
	printf '%s\n' basicConstraints=critical,CA:FALSE keyUsage=critical,digitalSignature \
		extendedKeyUsage=emailProtection,codeSigning >signer.ext
	openssl req -newkey rsa:3072 -nodes -subj "/O=tegra-ota demo/CN=CA" -keyout ca.key.pem -out ca.csr
	openssl x509 -req -days 3650 -in ca.csr -signkey ca.key.pem -extfile ca.ext -out ca.cert.pem
	openssl req -newkey rsa:3072 -nodes -subj "/O=tegra-ota demo/CN=signer" -keyout key.pem -out signer.csr
	# The signer's certificate comes last: where it is, all of them are.
	openssl x509 -req -days 3650 -in signer.csr -CA ca.cert.pem -CAkey ca.key.pem -CAcreateserial -extfile signer.ext -out cert.pem
)

# have_demo_ca: the same, if it is not there yet.
have_demo_ca() {
	[ -e "$ca/cert.pem" ] || log=$(demo_ca "$ca" 2>&1) || die "cannot make a demo CA in $ca: $log"
}

format=verity ca='' cert='' key='' version='' rootfs='' firmware='' out=''
while [ $# -gt 0 ]; do
	case $1 in
	--help) usage; exit ;;
	--format | --demo-ca | --cert | --key | --version | --rootfs | --firmware)
		[ $# -gt 1 ] || wrong "$1 needs a value"
		case $1 in
		--format) format=$2 ;;
		--demo-ca) ca=$2 ;;
		--cert) cert=$2 ;;
		--key) key=$2 ;;
		--version) version=$2 ;;
		--rootfs) rootfs=$2 ;;
		--firmware) firmware=$2 ;;
		esac
		shift 2
		;;
	-*) wrong "unknown option $1" ;;
	*)
		[ -z "$out" ] || wrong "more than one bundle named: $out, $1"
		out=$1
		shift
		;;
	esac
done
if [ -n "$ca" ] && [ -z "$out$cert$key$version$rootfs$firmware" ]; then
	have_demo_ca
	exit
fi
[ -n "$out" ] || wrong "no bundle named"
case $format in verity | plain) ;; *) wrong "unknown format $format" ;; esac
case $version in '' | *[!A-Za-z0-9._+~:-]*) wrong "a version is needed, of letters, digits and ._+~:-" ;; esac
[ -n "$rootfs$firmware" ] || wrong "nothing to install: neither --rootfs nor --firmware"
if [ -n "$ca" ]; then
	[ -z "$cert$key" ] || wrong "--demo-ca excludes --cert and --key"
elif [ -z "$cert" ] || [ -z "$key" ]; then
	wrong "who signs? --demo-ca, or --cert and --key"
fi
[ ! -e "$out" ] || die "$out exists"
examples=$(cd "$(dirname "$0")" && pwd)

# content FILE NAME: a file of the bundle, without a copy where the file system allows it.
content() { ln -L "$1" "$work/$2" 2>/dev/null || cp --reflink=auto "$1" "$work/$2" || die "cannot take $1"; }

# Beside the bundle, because a root file system may be larger than /tmp.
work=$(mktemp -d "$out.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

if [ -n "$ca" ]; then
	have_demo_ca
	cert=$ca/cert.pem key=$ca/key.pem
fi

# The manifest, without the section of an image that is not given. A copy, because RAUC 1.8 writes digests into its input.
awk -v rootfs="$rootfs" -v firmware="$firmware" '
	/^\[/ { skip = /^\[image\.rootfs\]/ && rootfs == "" || /^\[image\.bootloader\]/ && firmware == "" }
	!skip && !/^#/' "$examples/manifest.raucm" | sed "s/@VERSION@/$version/; s/^format=.*/format=$format/" >"$work/manifest.raucm"
named() { sed -n "/^\[image\.$1\]/,/^\[/s/^filename=//p" "$examples/manifest.raucm"; }
cp "$examples/hook" "$work/hook"
chmod 755 "$work" "$work/hook" # mktemp made the folder private; it becomes the root of the bundle
[ -z "$rootfs" ] || content "$rootfs" "$(named rootfs)"
[ -z "$firmware" ] || content "$firmware" "$(named bootloader)"
rauc bundle --cert="$cert" --key="$key" ${ca:+--signing-keyring="$ca/ca.cert.pem"} "$work" "$out" >"$out.log" 2>&1 ||
	{ cat "$out.log" >&2; rm -f "$out" "$out.log"; die "cannot make $out"; }
rm -f "$out.log"
