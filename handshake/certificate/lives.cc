#include "handshake/certificate/lives.h"

#include <openssl/x509v3.h>

#include <algorithm>
#include <ctime>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "handshake/certificate/credentials.h"

namespace sealcast::handshake {
namespace {

// Unix seconds; an unreadable time is the past.
std::int64_t unix_time_of(const ASN1_TIME* time) {
  std::tm parts{};
  return time != nullptr && ASN1_TIME_to_tm(time, &parts) == 1 ? std::int64_t{timegm(&parts)} : 0;
}

std::string one_line(const X509_NAME* name) {
  char* line = X509_NAME_oneline(name, nullptr, 0);
  std::string text = line != nullptr ? line : "?";
  OPENSSL_free(line);
  return text;
}

Life life_of(X509* certificate, Life::Kind kind) {
  return {kind, one_line(X509_get_subject_name(certificate)), unix_time_of(X509_get0_notBefore(certificate)),
          unix_time_of(X509_get0_notAfter(certificate))};
}

using ListPtr = const X509_CRL*;

template <typename Take>
void each_object(const TrustStore& trust, Take take) {
  const STACK_OF(X509_OBJECT)* objects = X509_STORE_get0_objects(trust->store.get());
  for (int i = 0; i < sk_X509_OBJECT_num(objects); ++i)
    take(sk_X509_OBJECT_value(objects, i));
}

// RFC 5280 §5.2.3: numbers grow. Lists without one go by their date.
bool is_older(ListPtr list, ListPtr than) {
  const auto number = [](ListPtr of) {
    return std::unique_ptr<ASN1_INTEGER, OpensslDeleter<ASN1_INTEGER_free>>(
        static_cast<ASN1_INTEGER*>(X509_CRL_get_ext_d2i(of, NID_crl_number, nullptr, nullptr)));
  };
  const auto ours = number(list), theirs = number(than);
  if (ours && theirs) return ASN1_INTEGER_cmp(ours.get(), theirs.get()) < 0;
  return unix_time_of(X509_CRL_get0_lastUpdate(list)) < unix_time_of(X509_CRL_get0_lastUpdate(than));
}

// The newest list of each authority that has one.
std::map<std::string, ListPtr> newest_lists(const TrustStore& trust) {
  std::map<std::string, ListPtr> lists;
  each_object(trust, [&](const X509_OBJECT* object) {
    const X509_CRL* const list = X509_OBJECT_get0_X509_CRL(object);
    if (list == nullptr) return;
    ListPtr& newest = lists[one_line(X509_CRL_get_issuer(list))];
    if (newest == nullptr || is_older(newest, list)) newest = list;
  });
  return lists;
}

}  // namespace

std::vector<Life> lives_of(const Credentials& credentials) {
  std::vector<Life> out;
  if (!credentials) return out;
  for (const X509Ptr& certificate : credentials->chain)
    out.push_back(life_of(certificate.get(), Life::Kind::certificate));
  return out;
}

Result<std::vector<Life>> lives_of_chain(std::string_view chain_pem) {
  SEALCAST_TRY_ASSIGN(const auto chain, read_certificates(chain_pem));
  std::vector<Life> out;
  for (const X509Ptr& certificate : chain)
    out.push_back(life_of(certificate.get(), Life::Kind::certificate));
  return out;
}

std::vector<Life> lives_of(const TrustStore& trust) {
  std::vector<Life> out;
  if (!trust) return out;
  each_object(trust, [&](const X509_OBJECT* object) {
    if (X509* const anchor = X509_OBJECT_get0_X509(object)) out.push_back(life_of(anchor, Life::Kind::authority));
  });
  for (const auto& [issuer, list] : newest_lists(trust))
    if (const ASN1_TIME* ends = X509_CRL_get0_nextUpdate(list))
      out.push_back({Life::Kind::list, issuer, unix_time_of(X509_CRL_get0_lastUpdate(list)), unix_time_of(ends)});
  return out;
}

Result<void> may_replace(const TrustStore& next, const TrustStore& current) {
  const auto lists = newest_lists(next);
  std::multimap<std::string, X509*> anchors;  // an authority may have a new key
  each_object(next, [&](const X509_OBJECT* object) {
    if (X509* const anchor = X509_OBJECT_get0_X509(object))
      anchors.emplace(one_line(X509_get_subject_name(anchor)), anchor);
  });
  for (const auto& [issuer, list] : lists) {
    const auto [first, last] = anchors.equal_range(issuer);
    const bool signed_by_it = std::any_of(first, last, [of = static_cast<ListPtr>(list)](const auto& anchor) {
      // libcrypto's prototype lacks the const.
      return X509_CRL_verify(const_cast<X509_CRL*>(of), X509_get0_pubkey(anchor.second)) == 1;
    });
    ERR_clear_error();
    if (first != last && !signed_by_it)
      return fail("the revocation list of " + issuer + " is not signed by the authority of that name");
  }
  if (!current) return {};
  for (const auto& [issuer, list] : newest_lists(current)) {
    if (!anchors.contains(issuer)) continue;
    const auto replacement = lists.find(issuer);
    if (replacement == lists.end()) return fail("expected a revocation list of " + issuer + ", as there was, got none");
    if (is_older(replacement->second, list))
      return fail("the revocation list of " + issuer + " is older than the one that holds");
  }
  return {};
}

}  // namespace sealcast::handshake
