#include "controlplane/pki/inspect.h"

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <ctime>
#include <memory>

#include "base/life_watch.h"
#include "controlplane/pki/openssl_handles.h"
#include "handshake/certificate/multicast_extension.h"

namespace sealcast::pki {
namespace {

std::string time_text(const ASN1_TIME* time) {
  const Handle<BIO> out(BIO_new(BIO_s_mem()));
  if (!out || ASN1_TIME_print(out.get(), time) != 1) return "?";
  char* data = nullptr;
  const long size = BIO_get_mem_data(out.get(), &data);
  return {data, static_cast<std::size_t>(size)};
}

// Seconds from now until time; negative: past.
std::int64_t until(const ASN1_TIME* time, std::int64_t unix_now) {
  const Handle<ASN1_TIME> now(ASN1_TIME_set(nullptr, unix_now));
  int days = 0, seconds = 0;
  if (!now || ASN1_TIME_diff(&days, &seconds, now.get(), time) != 1) return 0;
  return std::int64_t{days} * 86400 + seconds;
}

// Unix seconds; an unreadable time is the past.
std::int64_t seconds_of(const ASN1_TIME* time) {
  std::tm parts{};
  return ASN1_TIME_to_tm(time, &parts) == 1 ? std::int64_t{timegm(&parts)} : 0;
}

constexpr std::int64_t soon = 30 * 86400;  // seconds before the end from which it is time for a new one

// A warning where a threshold of its life is passed, as a daemon tells it, or where it ends soon.
void check_end(const std::string& what, const ASN1_TIME* begins, const ASN1_TIME* ends, const std::string& remedy,
               std::int64_t unix_now, Findings& findings) {
  const Life life{Life::Kind::certificate, "", seconds_of(begins), seconds_of(ends)};
  const int stage = stage_of(life, unix_now);
  if (stage == 100)
    findings.errors.push_back(what + " expired at " + time_text(ends) + "; " + remedy);
  else if (stage >= 50 || life.ends - unix_now < soon)
    findings.warnings.push_back(what + " expires at " + time_text(ends) + "; " + std::to_string(life.used(unix_now)) +
                                " % of its life are over; " + remedy);
}

void check_life(X509* certificate, const std::string& what, std::int64_t unix_now, Findings& findings) {
  if (until(X509_get0_notBefore(certificate), unix_now) > 0)
    findings.errors.push_back(what + " is not valid before " + time_text(X509_get0_notBefore(certificate)) +
                              "; is the clock right?");
  check_end(what, X509_get0_notBefore(certificate), X509_get0_notAfter(certificate), "make a new one", unix_now,
            findings);
}

void check_multicast(X509* leaf, Purpose purpose, const std::vector<std::string>& groups, Findings& findings) {
  const auto extension = handshake::find_multicast_extension(leaf);
  if (!extension) {
    findings.errors.push_back(extension.error().message);
    return;
  }
  if (purpose == Purpose::key_server) {
    if (*extension)
      findings.errors.push_back(
          "expected a key server's certificate, got a member's (it carries the multicast extension); make one with: "
          "sealcast pki server NAME");
    return;
  }
  if (!*extension) {
    findings.errors.push_back(
        "expected a member's certificate, but it has no multicast extension; make one with: sealcast pki member NAME "
        "--group GROUP");
    return;
  }
  if (!(*extension)->decrypt) findings.errors.push_back("its multicast extension does not permit decryption");
  for (const std::string& group : groups)
    if (!(*extension)->allows(group))
      findings.errors.push_back("it is not for the group \"" + group +
                                "\"; make one with: sealcast pki member NAME --group " + group);
}

void check_usage(X509* leaf, Purpose purpose, Findings& findings) {
  const bool member = purpose == Purpose::member;
  const std::uint32_t wanted = member ? XKU_SSL_CLIENT : XKU_SSL_SERVER;
  const std::uint32_t usage = X509_get_extended_key_usage(leaf);
  if (usage == UINT32_MAX || (usage & wanted) == 0)
    findings.errors.push_back(std::string("its extended key usage is not ") + (member ? "clientAuth" : "serverAuth"));
  else if (member && usage != wanted)
    findings.errors.push_back("its extended key usage allows more than clientAuth");
  const std::uint32_t key_usage = X509_get_key_usage(leaf);
  if (key_usage == UINT32_MAX || (key_usage & KU_DIGITAL_SIGNATURE) == 0)
    findings.errors.push_back("its key usage lacks digitalSignature");
}

Handle<X509> leaf_of(std::string_view chain_pem) {
  const Handle<BIO> in(BIO_new_mem_buf(chain_pem.data(), static_cast<int>(chain_pem.size())));
  return Handle<X509>(in ? PEM_read_bio_X509(in.get(), nullptr, no_password, nullptr) : nullptr);
}

std::string_view content_of(const ASN1_STRING* text) {
  return {reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
          static_cast<std::size_t>(ASN1_STRING_length(text))};
}

struct FreeNames {
  void operator()(GENERAL_NAMES* names) const { GENERAL_NAMES_free(names); }
};

// Every dNSName, or the common name if there is none: as the key server names a member.
std::vector<std::string> names_of(X509* leaf) {
  std::vector<std::string> names;
  const std::unique_ptr<GENERAL_NAMES, FreeNames> alternative(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(leaf, NID_subject_alt_name, nullptr, nullptr)));
  for (int i = 0; alternative && i < sk_GENERAL_NAME_num(alternative.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(alternative.get(), i);
    if (name->type == GEN_DNS) names.emplace_back(content_of(name->d.dNSName));
  }
  const int place = X509_NAME_get_index_by_NID(X509_get_subject_name(leaf), NID_commonName, -1);
  if (names.empty() && place >= 0)
    names.emplace_back(content_of(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(X509_get_subject_name(leaf), place))));
  return names;
}

}  // namespace

Findings inspect_key(std::string_view chain_pem, KeyUse use) {
  Findings findings;
  const Handle<X509> leaf = leaf_of(chain_pem);
  ERR_clear_error();
  if (!leaf) return findings;  // inspect_identity() reports it
  const int kind = EVP_PKEY_get_base_id(X509_get0_pubkey(leaf.get()));
  const bool rsa = kind == EVP_PKEY_RSA;
  if (use == KeyUse::ecdsa_signature && kind != EVP_PKEY_EC && kind != EVP_PKEY_ED25519)
    findings.errors.push_back("expected an ECDSA key, got another kind; make one without --rsa");
  if (use != KeyUse::ecdsa_signature && !rsa)
    findings.errors.push_back("expected an RSA key, got another kind; make one with --rsa");
  const std::uint32_t usage = X509_get_key_usage(leaf.get());
  if (use == KeyUse::rsa_decryption && rsa && (usage == UINT32_MAX || (usage & KU_KEY_ENCIPHERMENT) == 0))
    findings.errors.push_back("its key usage lacks keyEncipherment; make it with: sealcast pki member NAME --rsa");
  return findings;
}

Findings inspect_user(std::string_view chain_pem, std::string_view user) {
  Findings findings;
  const Handle<X509> leaf = leaf_of(chain_pem);
  ERR_clear_error();
  if (!leaf) return findings;
  const auto names = names_of(leaf.get());
  if (std::find(names.begin(), names.end(), user) == names.end())
    findings.errors.push_back(
        "expected \"" + std::string(user) + "\" among its names, since user and certificate must " +
        "belong to one member; its first name is \"" + (names.empty() ? "" : names.front()) + "\"");
  return findings;
}

std::string first_name(std::string_view chain_pem) {
  const Handle<X509> leaf = leaf_of(chain_pem);
  ERR_clear_error();
  if (!leaf) return {};
  const auto names = names_of(leaf.get());
  return names.empty() ? std::string() : names.front();
}

Findings inspect_identity(std::string_view chain_pem, ByteView private_key_pem, Purpose purpose,
                          const std::vector<std::string>& groups, std::int64_t unix_now) {
  Findings findings;
  const Handle<X509> leaf = leaf_of(chain_pem);
  if (!leaf) {
    findings.errors.push_back(openssl_failure("expected a certificate in PEM").value().message);
    return findings;
  }
  const Handle<BIO> key_in(BIO_new_mem_buf(private_key_pem.data(), static_cast<int>(private_key_pem.size())));
  const Handle<EVP_PKEY> key(key_in ? PEM_read_bio_PrivateKey(key_in.get(), nullptr, no_password, nullptr) : nullptr);
  if (!key)
    findings.errors.push_back(openssl_failure("expected its private key unencrypted and in PEM").value().message);
  else if (X509_check_private_key(leaf.get(), key.get()) != 1)
    findings.errors.push_back("the private key does not belong to the certificate");
  ERR_clear_error();
  check_life(leaf.get(), "the certificate", unix_now, findings);
  check_usage(leaf.get(), purpose, findings);
  check_multicast(leaf.get(), purpose, groups, findings);
  return findings;
}

Findings inspect_trust(std::string_view ca_pem, std::string_view crl_pem, std::int64_t unix_now) {
  Findings findings;
  std::vector<Handle<X509>> anchors;
  const Handle<BIO> in(BIO_new_mem_buf(ca_pem.data(), static_cast<int>(ca_pem.size())));
  while (X509* next = in ? PEM_read_bio_X509(in.get(), nullptr, no_password, nullptr) : nullptr)
    anchors.emplace_back(next);
  ERR_clear_error();
  if (anchors.empty()) findings.errors.push_back("expected at least one CA certificate in PEM");
  for (const auto& anchor : anchors) {
    if (X509_check_ca(anchor.get()) != 1) findings.errors.push_back("expected CA certificates, got one that is none");
    check_life(anchor.get(), "the CA certificate", unix_now, findings);
  }
  if (crl_pem.empty()) return findings;
  const Handle<BIO> lists(BIO_new_mem_buf(crl_pem.data(), static_cast<int>(crl_pem.size())));
  std::size_t count = 0;
  while (X509_CRL* next = lists ? PEM_read_bio_X509_CRL(lists.get(), nullptr, no_password, nullptr) : nullptr) {
    const Handle<X509_CRL> list(next);
    ++count;
    if (std::none_of(anchors.begin(), anchors.end(), [&](const auto& anchor) {
          return X509_CRL_verify(list.get(), X509_get0_pubkey(anchor.get())) == 1;
        }))
      findings.errors.push_back("the revocation list is not signed by any of the CAs");
    if (const ASN1_TIME* const end = X509_CRL_get0_nextUpdate(list.get()))
      check_end("the revocation list", X509_CRL_get0_lastUpdate(list.get()), end, "sign it anew: sealcast pki crl",
                unix_now, findings);
  }
  ERR_clear_error();
  if (count == 0) findings.errors.push_back("expected a revocation list in PEM");
  return findings;
}

}  // namespace sealcast::pki
