#!/bin/sh
# Certificates for Dask: an authority, and one pair that scheduler, workers and runs share.
#     infra/certificates.sh FOLDER [NAME ...]     NAME: hosts of the scheduler; DAYS=365
# Who has tls.key may run code on all workers: the folder is its owner's alone. Make them again before they expire.
set -eu
folder=$1
shift
days=${DAYS:-365}
names="DNS:localhost,IP:127.0.0.1"
for name in "$@"; do names="$names,DNS:$name"; done
umask 077
mkdir -p "$folder"
key="-newkey rsa:3072 -sha256 -nodes"
quiet() {  # what it says is shown where it fails
    "$@" 2>"$folder/openssl.log" || { cat "$folder/openssl.log" >&2; exit 1; }
}
# shellcheck disable=SC2086
quiet openssl req -x509 $key -days "$days" -subj "/CN=srcore authority" \
    -keyout "$folder/ca.key" -out "$folder/ca.pem"
# shellcheck disable=SC2086
quiet openssl req $key -subj "/CN=srcore" -keyout "$folder/tls.key" -out "$folder/tls.csr"
printf 'subjectAltName=%s\nextendedKeyUsage=serverAuth,clientAuth\n' "$names" > "$folder/tls.ext"
quiet openssl x509 -req -in "$folder/tls.csr" -CA "$folder/ca.pem" -CAkey "$folder/ca.key" -CAcreateserial \
    -days "$days" -sha256 -extfile "$folder/tls.ext" -out "$folder/tls.pem"
rm -f "$folder/tls.csr" "$folder/tls.ext" "$folder/openssl.log"
echo "made $folder/ca.pem, tls.pem and tls.key, for $days days and $names"
