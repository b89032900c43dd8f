// Copy this file to ca_cert.h (git ignores it) and paste the certificate of the authority that signed the broker's:
// the whole of ca.crt, as it is. Needed by the -tls environments only.
#ifndef VOICE_CA_CERT_H
#define VOICE_CA_CERT_H

static const char voice_ca_cert[] = R"CERT(
-----BEGIN CERTIFICATE-----
-----END CERTIFICATE-----
)CERT";

#endif
