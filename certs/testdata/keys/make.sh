#!/bin/sh
# Makes the files of this folder anew, each by the program that its name says: OpenSSL 3 and the keytool of Java 17. The
# passphrase is "changeit" in all of them, except those named "empty". The two .pfx files are made by OpenSSL in the forms
# that Windows writes (its certificate export wizard with TripleDES-SHA1, and with AES256-SHA256), not by Windows.
set -eu
cd "$(dirname "$0")"
rm -f -- *.pem *.key *.der *.p12 *.pfx
export P=changeit
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# an authority, an intermediate one under it, and a server's certificate, for a hundred years
new() { # new NAME SUBJECT EXTENSIONS [SIGNING OPTIONS…]
	name=$1 subject=$2
	echo "$3" >"$work/$name.ext"
	shift 3
	openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$work/$name.key"
	openssl req -new -key "$work/$name.key" -subj "$subject" -out "$work/$name.csr"
	openssl x509 -req -in "$work/$name.csr" -days 36500 -extfile "$work/$name.ext" -out "$name.pem" "$@"
}
ca='basicConstraints=critical,CA:TRUE
keyUsage=critical,keyCertSign'
new root '/CN=keys root' "$ca" -signkey "$work/root.key"
new intermediate '/CN=keys intermediate' "$ca" -CA root.pem -CAkey "$work/root.key"
new leaf '/CN=keys.test' 'subjectAltName=DNS:keys.test' -CA intermediate.pem -CAkey "$work/intermediate.key"
cat intermediate.pem root.pem >"$work/chain.pem"
plain=$work/leaf.key

# PKCS#8 under a passphrase, and what came before it
openssl pkcs8 -topk8 -in "$plain" -passout env:P -v2 aes-256-cbc -out pkcs8-pbkdf2.key
openssl pkcs8 -topk8 -in "$plain" -passout env:P -v2 aes-256-cbc -outform DER -out pkcs8-pbkdf2.der
openssl pkcs8 -topk8 -in "$plain" -passout env:P -v2 aes-128-cbc -v2prf hmacWithSHA512 -out pkcs8-sha512.key
openssl pkcs8 -topk8 -in "$plain" -passout env:P -v2 aes-192-cbc -v2prf hmacWithSHA1 -out pkcs8-sha1.key
openssl pkcs8 -topk8 -in "$plain" -passout env:P -v2 des3 -out pkcs8-3des.key
openssl pkcs8 -topk8 -in "$plain" -passout env:P -scrypt -out pkcs8-scrypt.key
openssl pkcs8 -topk8 -in "$plain" -passout env:P -v1 PBE-SHA1-3DES -out pkcs8-pbes1.key
openssl ec -in "$plain" -passout env:P -aes128 -out old-aes.key
openssl ec -in "$plain" -passout env:P -des3 -out old-3des.key
cat leaf.pem pkcs8-pbkdf2.key >leaf-and-key.pem

# PKCS#12
export_p12() { openssl pkcs12 -export -inkey "$plain" -in leaf.pem -certfile "$work/chain.pem" "$@"; }
export_p12 -name keys -passout env:P -out openssl.p12
export_p12 -passout pass: -out openssl-empty.p12
cat root.pem intermediate.pem >"$work/reversed.pem"
openssl pkcs12 -export -inkey "$plain" -in leaf.pem -certfile "$work/reversed.pem" -passout env:P -out openssl-unordered.p12
openssl pkcs12 -export -nokeys -in root.pem -passout env:P -out openssl-nokey.p12
export_p12 -passout env:P -legacy -keypbe PBE-SHA1-3DES -certpbe PBE-SHA1-RC2-40 -macalg sha1 \
	-name 'te-1f0c1b9e' -CSP 'Microsoft Enhanced Cryptographic Provider v1.0' -out windows-3des.pfx
export_p12 -passout env:P -keypbe AES-256-CBC -certpbe AES-256-CBC -macalg sha256 \
	-name 'te-1f0c1b9e' -CSP 'Microsoft Software Key Storage Provider' -out windows-aes.pfx
keytool -importkeystore -srckeystore openssl.p12 -srcstorepass "$P" -destkeystore java.p12 -deststoretype PKCS12 -deststorepass "$P"
keytool -importcert -noprompt -alias root -file root.pem -keystore java-truststore.p12 -storetype PKCS12 -storepass "$P"
cp java.p12 java-two-keys.p12
keytool -genkeypair -alias other -keyalg EC -groupname secp256r1 -dname CN=other.test -validity 36500 -keystore java-two-keys.p12 -storepass "$P"
