// Owning pointers for OpenSSL objects, and its error queue as one-line errors.
#pragma once

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include <memory>
#include <string>

#include "base/result.h"

namespace sealcast::pki {

struct Release {
  void operator()(X509* p) const { X509_free(p); }
  void operator()(X509_CRL* p) const { X509_CRL_free(p); }
  void operator()(X509_REVOKED* p) const { X509_REVOKED_free(p); }
  void operator()(X509_EXTENSION* p) const { X509_EXTENSION_free(p); }
  void operator()(X509_NAME* p) const { X509_NAME_free(p); }
  void operator()(EVP_PKEY* p) const { EVP_PKEY_free(p); }
  void operator()(BIO* p) const { BIO_free_all(p); }
  void operator()(ASN1_STRING* p) const { ASN1_STRING_free(p); }  // times, integers, octet strings too
  void operator()(ASN1_OBJECT* p) const { ASN1_OBJECT_free(p); }
  void operator()(BIGNUM* p) const { BN_free(p); }
};
template <typename T>
using Handle = std::unique_ptr<T, Release>;

// A password callback: an encrypted key must fail, never ask on a terminal.
inline int no_password(char*, int, int, void*) {
  return 0;
}

// "what: OpenSSL's first reason"; empties the error queue.
inline tl::unexpected<Error> openssl_failure(const std::string& what) {
  const unsigned long code = ERR_get_error();
  ERR_clear_error();
  const char* reason = code != 0 ? ERR_reason_error_string(code) : nullptr;
  return fail(what + (reason != nullptr ? std::string(": ") + reason : std::string()));
}

}  // namespace sealcast::pki
