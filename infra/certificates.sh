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
# shellcheck disable=SC2086
openssl req -x509 $key -days "$days" -subj "/CN=srcore authority" \
    -keyout "$folder/ca.key" -out "$folder/ca.pem" 2>/dev/null
# shellcheck disable=SC2086
openssl req $key -subj "/CN=srcore" -keyout "$folder/tls.key" -out "$folder/tls.csr" 2>/dev/null
printf 'subjectAltName=%s\nextendedKeyUsage=serverAuth,clientAuth\n' "$names" > "$folder/tls.ext"
openssl x509 -req -in "$folder/tls.csr" -CA "$folder/ca.pem" -CAkey "$folder/ca.key" -CAcreateserial \
    -days "$days" -sha256 -extfile "$folder/tls.ext" -out "$folder/tls.pem" 2>/dev/null
rm -f "$folder/tls.csr" "$folder/tls.ext"
echo "made $folder/ca.pem, tls.pem and tls.key, for $days days and $names"
