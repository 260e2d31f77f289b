#include "handshake/certificate/policy.h"

#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <limits>

#include "handshake/certificate/multicast_extension.h"

namespace sealcast::handshake {
namespace {

struct StackDeleter {
  void operator()(STACK_OF(X509) * stack) const { sk_X509_free(stack); }  // the certificates are owned elsewhere
};
using X509StackPtr = std::unique_ptr<STACK_OF(X509), StackDeleter>;
struct NamesDeleter {
  void operator()(GENERAL_NAMES* names) const { GENERAL_NAMES_free(names); }
};
using NamesPtr = std::unique_ptr<GENERAL_NAMES, NamesDeleter>;
using BignumPtr = std::unique_ptr<BIGNUM, OpensslDeleter<BN_free>>;

constexpr int min_security_level = 2;  // OpenSSL's level: 112 bits, no SHA-1 in the chain

Reason reason_for(int x509_error) {
  switch (x509_error) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return Reason::certificate_expired;
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return Reason::certificate_not_yet_valid;
    case X509_V_ERR_CERT_REVOKED:
      return Reason::certificate_revoked;
    case X509_V_ERR_UNABLE_TO_GET_CRL:
    case X509_V_ERR_UNABLE_TO_GET_CRL_ISSUER:
    case X509_V_ERR_CRL_HAS_EXPIRED:
    case X509_V_ERR_CRL_NOT_YET_VALID:
    case X509_V_ERR_CRL_SIGNATURE_FAILURE:
    case X509_V_ERR_UNABLE_TO_DECRYPT_CRL_SIGNATURE:
    case X509_V_ERR_KEYUSAGE_NO_CRL_SIGN:
    case X509_V_ERR_DIFFERENT_CRL_SCOPE:
    case X509_V_ERR_UNHANDLED_CRITICAL_CRL_EXTENSION:
      return Reason::revocation_unknown;
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_CERT_UNTRUSTED:
      return Reason::certificate_unknown_ca;
    case X509_V_ERR_INVALID_PURPOSE:
      return Reason::certificate_wrong_usage;
    case X509_V_ERR_UNHANDLED_CRITICAL_EXTENSION:
      return Reason::certificate_unknown_critical_extension;
    case X509_V_ERR_EE_KEY_TOO_SMALL:
    case X509_V_ERR_CA_KEY_TOO_SMALL:
    case X509_V_ERR_CA_MD_TOO_WEAK:
      return Reason::certificate_weak_key;
    default:
      return Reason::certificate_invalid_chain;
  }
}

std::string subject(const X509_NAME* name) {
  char* line = X509_NAME_oneline(name, nullptr, 0);
  std::string text = line != nullptr ? line : "?";
  OPENSSL_free(line);
  return text;
}
std::string subject(const X509* certificate) {
  return subject(X509_get_subject_name(certificate));
}

std::vector<std::string> dns_names(X509* leaf) {
  std::vector<std::string> names;
  const NamesPtr list(static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(leaf, NID_subject_alt_name, nullptr, nullptr)));
  for (int i = 0; list && i < sk_GENERAL_NAME_num(list.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(list.get(), i);
    if (name->type != GEN_DNS) continue;
    const unsigned char* data = ASN1_STRING_get0_data(name->d.dNSName);
    names.emplace_back(data, data + ASN1_STRING_length(name->d.dNSName));
  }
  return names;
}

// RFC 5280 §4.2.1.12. OpenSSL's flags know only some usages: one that they leave out would go unseen.
bool only_extended_usage_is(X509* leaf, int nid) {
  const std::unique_ptr<EXTENDED_KEY_USAGE, decltype(&EXTENDED_KEY_USAGE_free)> usages(
      static_cast<EXTENDED_KEY_USAGE*>(X509_get_ext_d2i(leaf, NID_ext_key_usage, nullptr, nullptr)),
      EXTENDED_KEY_USAGE_free);
  return usages && sk_ASN1_OBJECT_num(usages.get()) == 1 && OBJ_obj2nid(sk_ASN1_OBJECT_value(usages.get(), 0)) == nid;
}

std::string serial_hex(X509* leaf) {
  const BignumPtr number(ASN1_INTEGER_to_BN(X509_get0_serialNumber(leaf), nullptr));
  char* text = number ? BN_bn2hex(number.get()) : nullptr;
  std::string value = text != nullptr ? text : "";
  OPENSSL_free(text);
  std::transform(value.begin(), value.end(), value.begin(),
                 [](char c) { return c >= 'A' && c <= 'F' ? static_cast<char>(c - 'A' + 'a') : c; });
  return value;
}

// Unix seconds; an unreadable time is the past.
std::int64_t seconds_of(const ASN1_TIME* time) {
  std::tm parts{};
  return time != nullptr && ASN1_TIME_to_tm(time, &parts) == 1 ? std::int64_t{timegm(&parts)} : 0;
}

std::string date(std::int64_t unix_seconds) {
  const std::time_t time = unix_seconds;
  std::tm parts{};
  std::array<char, 32> text{};
  if (gmtime_r(&time, &parts) == nullptr) return "?";
  return {text.data(), std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M:%S UTC", &parts)};
}

// What of a path had ended when it was verified; libcrypto goes on, so that whatever else is wrong comes first.
struct Late {
  std::int64_t now = 0;
  struct End {
    std::optional<std::int64_t> at;  // Unix seconds, of the one that ended first; empty: none has
    std::string what;
  } certificate, list;

  static void note(End& end, std::int64_t at, std::string what) {
    if (!end.at || at < *end.at) end = {at, std::move(what)};
  }
  static int seen(int good, X509_STORE_CTX* context) {
    if (good == 1) return 1;
    Late& late = *static_cast<Late*>(X509_STORE_CTX_get_app_data(context));
    switch (X509_STORE_CTX_get_error(context)) {
      case X509_V_ERR_CERT_HAS_EXPIRED: {
        X509* const certificate = X509_STORE_CTX_get_current_cert(context);
        note(late.certificate, seconds_of(X509_get0_notAfter(certificate)), subject(certificate));
        return 1;
      }
      case X509_V_ERR_CRL_HAS_EXPIRED: {
        const X509_CRL* const list = X509_STORE_CTX_get0_current_crl(context);
        note(late.list, seconds_of(X509_CRL_get0_nextUpdate(list)), subject(X509_CRL_get_issuer(list)));
        return 1;
      }
      case X509_V_ERR_CRL_NOT_YET_VALID:  // signed by a clock that is ahead of ours: it says no less for that
        return 1;
      default:
        return 0;
    }
  }
  Outcome<std::string> within(Grace grace) const {
    std::string ended;
    if (certificate.at) {
      ended = "certificate has expired (" + certificate.what + "): it ended at " + date(*certificate.at);
      if (now - *certificate.at >= grace.certificate)
        return refuse(Reason::certificate_expired, ended + ", and it is " + date(now) + " here");
    }
    if (list.at) {
      const std::string stale = "revocation list of " + list.what + " has ended at " + date(*list.at);
      if (now - *list.at >= grace.list)
        return refuse(Reason::revocation_unknown, "the " + stale + ", and it is " + date(now) + " here");
      ended += (ended.empty() ? "" : "; ") + stale;
    }
    return ended;
  }
};

// The last second before what ends then, by the grace if it has ended, or before what begins then.
void hold_until(std::int64_t& until, std::int64_t end, std::int64_t grace, std::int64_t unix_now) {
  const std::int64_t last = (end <= unix_now ? end + grace : end) - 1;
  if (last >= unix_now) until = std::min(until, last);
}

void lists_hold_until(std::int64_t& until, X509_STORE* store, std::int64_t grace, std::int64_t unix_now) {
  const STACK_OF(X509_OBJECT)* objects = X509_STORE_get0_objects(store);
  for (int i = 0; i < sk_X509_OBJECT_num(objects); ++i) {
    const X509_CRL* list = X509_OBJECT_get0_X509_CRL(sk_X509_OBJECT_value(objects, i));
    if (list == nullptr) continue;
    hold_until(until, seconds_of(X509_CRL_get0_lastUpdate(list)), 0, unix_now);
    if (const ASN1_TIME* ends = X509_CRL_get0_nextUpdate(list)) hold_until(until, seconds_of(ends), grace, unix_now);
  }
}

}  // namespace

// One verification: the parsed chain, and the checks on it.
class ChainVerifier {
 public:
  static Outcome<ChainVerifier> parse(std::span<const Bytes> chain_der) {
    ChainVerifier self;
    if (chain_der.empty()) return refuse(Reason::certificate_missing, "no certificate was sent, one is required");
    for (const Bytes& der : chain_der) {
      const unsigned char* next = der.data();
      X509Ptr certificate(d2i_X509(nullptr, &next, static_cast<long>(der.size())));
      const std::string why = certificate ? "trailing bytes" : take_openssl_error();
      if (!certificate || next != der.data() + der.size())
        return refuse(Reason::certificate_malformed,
                      "certificate " + std::to_string(self.chain_.size() + 1) + " of the chain: " + why);
      self.all_der_.insert(self.all_der_.end(), der.begin(), der.end());
      self.chain_.push_back(std::move(certificate));
    }
    return self;
  }

  // Signatures, validity, constraints, revocation, strength (X.509 path validation by libcrypto).
  Outcome<void> check_path(const TrustStore& trust, int purpose, std::int64_t unix_now) {
    const X509StackPtr untrusted(sk_X509_new_null());
    const X509StoreCtxPtr context(X509_STORE_CTX_new());
    if (!trust || !untrusted || !context)
      return refuse(Reason::certificate_unknown_ca, "no certificate authority is configured");
    for (std::size_t i = 1; i < chain_.size(); ++i)
      if (sk_X509_push(untrusted.get(), chain_[i].get()) == 0) return refuse(Reason::internal_error, "out of memory");
    if (X509_STORE_CTX_init(context.get(), trust->store.get(), leaf(), untrusted.get()) != 1)
      return refuse(Reason::internal_error, "certificate verification: " + take_openssl_error());
    X509_VERIFY_PARAM* parameters = X509_STORE_CTX_get0_param(context.get());
    X509_VERIFY_PARAM_set_auth_level(parameters, min_security_level);
    X509_VERIFY_PARAM_set_time(parameters, unix_now);
    X509_STORE_CTX_set_purpose(context.get(), purpose);
    late_.now = unix_now;
    X509_STORE_CTX_set_app_data(context.get(), &late_);
    X509_STORE_CTX_set_verify_cb(context.get(), Late::seen);
    const int verified = X509_verify_cert(context.get());
    const int error = X509_STORE_CTX_get_error(context.get());
    ERR_clear_error();
    if (verified != 1) {
      X509* culprit = X509_STORE_CTX_get_current_cert(context.get());
      return refuse(reason_for(error), std::string(X509_verify_cert_error_string(error)) + " (" +
                                           subject(culprit != nullptr ? culprit : leaf()) + ")");
    }
    const STACK_OF(X509)* path = X509_STORE_CTX_get0_chain(context.get());
    trust_ = trust;
    for (int i = 0; i < sk_X509_num(path); ++i) {
      X509* certificate = sk_X509_value(path, i);
      ends_.push_back(seconds_of(X509_get0_notAfter(certificate)));
      EVP_PKEY* key = X509_get0_pubkey(certificate);
      if (key == nullptr || !strong_enough(key))
        return refuse(Reason::certificate_weak_key,
                      "the key of " + subject(certificate) + " is " + (key != nullptr ? describe(key) : "unknown") +
                          ", expected RSA of 2048 bits or more, P-256 or better, or Ed25519");
    }
    return {};
  }

  // digitalSignature and the extended usage. strict: both must be stated. exclusive: no other extended usage beside it.
  Outcome<void> check_usage(std::uint32_t extended, std::string_view extended_name, bool strict, bool exclusive) {
    const std::uint32_t flags = X509_get_extension_flags(leaf());
    if ((flags & EXFLAG_CA) != 0) return wrong_usage("a certificate authority's certificate is used as a leaf");
    if (strict && ((flags & EXFLAG_KUSAGE) == 0 || (flags & EXFLAG_XKUSAGE) == 0))
      return wrong_usage("key usage and extended key usage must both be stated");
    if ((X509_get_key_usage(leaf()) & KU_DIGITAL_SIGNATURE) == 0)
      return wrong_usage("key usage does not allow digitalSignature");
    if ((flags & EXFLAG_XKUSAGE) != 0) {
      const std::uint32_t usage = X509_get_extended_key_usage(leaf());
      if ((usage & extended) == 0)
        return wrong_usage("extended key usage does not allow " + std::string(extended_name));
      if (exclusive && !only_extended_usage_is(leaf(), NID_client_auth))
        return wrong_usage("extended key usage allows more than " + std::string(extended_name));
    }
    return {};
  }

  Outcome<void> check_name(const std::string& server_name) {
    // OpenSSL takes a name that begins with a dot for all names below it.
    if (server_name.empty() || server_name.front() == '.')
      return refuse(Reason::certificate_wrong_name,
                    "expected the key server's whole name, is configured with \"" + server_name + "\"");
    constexpr unsigned host_check_flags = X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_WILDCARDS;
    if (X509_check_host(leaf(), server_name.data(), server_name.size(), host_check_flags, nullptr) == 1) return {};
    std::string shown;
    for (const std::string& name : dns_names(leaf()))
      shown += (shown.empty() ? "" : ", ") + name;
    return refuse(Reason::certificate_wrong_name, "expected a certificate for " + server_name + ", got one for " +
                                                      (shown.empty() ? "no dNSName" : shown));
  }

  Outcome<void> read_multicast() {
    auto found = find_multicast_extension(leaf());
    if (!found) return refuse(Reason::certificate_malformed, found.error().message);
    multicast_ = std::move(*found);
    return {};
  }

  Outcome<void> check_not_member() {
    SEALCAST_TRY(read_multicast());
    if (multicast_) return refuse(Reason::certificate_is_member, subject(leaf()) + " carries the multicast extension");
    return {};
  }

  Outcome<void> check_member(const std::string& group_id) {
    SEALCAST_TRY(read_multicast());
    // RFC 9525 §6.3: a name is a dNSName. Name constraints of a subordinate authority do not bind the common name.
    if (dns_names(leaf()).empty())
      return refuse(Reason::certificate_wrong_name,
                    "expected a dNSName, the member's name, in the certificate; " + subject(leaf()) + " has none");
    if (!multicast_)
      return refuse(Reason::certificate_not_multicast, subject(leaf()) + " lacks the multicast extension");
    if (!multicast_->decrypt)
      return refuse(Reason::certificate_not_multicast, subject(leaf()) + " is not permitted to decrypt");
    if (!multicast_->allows(group_id))
      return refuse(Reason::certificate_wrong_group, subject(leaf()) + " is not made for group \"" + group_id + "\"");
    return {};
  }

  // P16: a key for encryption, RSA of at least 2048 bits (check_path has checked the size).
  Outcome<void> check_decryption_key() {
    EVP_PKEY* key = X509_get0_pubkey(leaf());
    if (EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA)
      return refuse(Reason::certificate_wrong_key_type,
                    "variant 1 encrypts to the member's RSA key, " + subject(leaf()) + " has " + describe(key));
    if ((X509_get_key_usage(leaf()) & KU_KEY_ENCIPHERMENT) == 0)
      return wrong_usage("key usage does not allow keyEncipherment, which variant 1 needs");
    return {};
  }

  // The dates come last: whoever is shut out for another reason is told that one.
  Outcome<VerifiedChain> prove(const GraceFor& grace_for) {
    PeerIdentity identity;
    identity.names = dns_names(leaf());
    if (!identity.names.empty()) identity.name = identity.names.front();
    identity.leaf_der = std::move(all_der_);
    identity.may_decrypt = multicast_ && multicast_->decrypt;
    if (multicast_) identity.groups = multicast_->groups;
    identity.serial_hex = serial_hex(leaf());
    const bool any_late = late_.certificate.at || late_.list.at;
    const Grace grace = any_late && grace_for ? grace_for(identity) : Grace{};
    Rechecked checked{std::numeric_limits<std::int64_t>::max(), {}};
    SEALCAST_TRY_ASSIGN(checked.late, late_.within(grace));
    for (const std::int64_t end : ends_)
      hold_until(checked.until, end, grace.certificate, late_.now);
    lists_hold_until(checked.until, trust_->store.get(), grace.list, late_.now);
    return VerifiedChain(std::move(identity), PkeyPtr(X509_get_pubkey(leaf())), std::move(checked));
  }

 private:
  X509* leaf() const { return chain_.front().get(); }
  tl::unexpected<HandshakeError> wrong_usage(std::string detail) const {
    return refuse(Reason::certificate_wrong_usage, std::move(detail) + " (" + subject(leaf()) + ")");
  }

  std::vector<X509Ptr> chain_;
  Bytes all_der_;
  std::optional<MulticastExtension> multicast_;
  TrustStore trust_;  // this and below: set by check_path()
  Late late_;
  std::vector<std::int64_t> ends_;  // of the path's certificates, Unix seconds
};

Outcome<VerifiedChain> verify_server_chain(const TrustStore& trust, std::span<const Bytes> chain_der,
                                           const std::string& server_name, bool multicast, std::int64_t unix_now,
                                           const GraceFor& grace) {
  return ChainVerifier::parse(chain_der).and_then([&](ChainVerifier chain) -> Outcome<VerifiedChain> {
    return chain.check_path(trust, X509_PURPOSE_SSL_SERVER, unix_now)
        .and_then([&] { return chain.check_usage(XKU_SSL_SERVER, "serverAuth", multicast, false); })
        .and_then([&] { return chain.check_name(server_name); })
        .and_then([&] { return chain.check_not_member(); })
        .and_then([&] { return chain.prove(grace); });
  });
}

Outcome<VerifiedChain> verify_member_chain(const TrustStore& trust, std::span<const Bytes> chain_der,
                                           const std::string& group_id, std::int64_t unix_now, MemberKeyUse use,
                                           const GraceFor& grace) {
  return ChainVerifier::parse(chain_der).and_then([&](ChainVerifier chain) -> Outcome<VerifiedChain> {
    return chain.check_path(trust, X509_PURPOSE_SSL_CLIENT, unix_now)
        .and_then([&] { return chain.check_usage(XKU_SSL_CLIENT, "clientAuth", true, true); })
        .and_then([&] { return chain.check_member(group_id); })
        .and_then([&] { return use == MemberKeyUse::sign ? Outcome<void>() : chain.check_decryption_key(); })
        .and_then([&] { return chain.prove(grace); });
  });
}

Outcome<VerifiedChain> verify_standard_client_chain(const TrustStore& trust, std::span<const Bytes> chain_der,
                                                    std::int64_t unix_now) {
  return ChainVerifier::parse(chain_der).and_then([&](ChainVerifier chain) -> Outcome<VerifiedChain> {
    return chain.check_path(trust, X509_PURPOSE_SSL_CLIENT, unix_now)
        .and_then([&] { return chain.check_usage(XKU_SSL_CLIENT, "clientAuth", false, false); })
        .and_then([&] { return chain.read_multicast(); })
        .and_then([&] { return chain.prove({}); });
  });
}

// PeerIdentity::leaf_der holds the leaf and the intermediates it came with.
static Outcome<std::vector<Bytes>> stored_chain(const Bytes& leaf_der) {
  std::vector<Bytes> chain;
  const unsigned char* next = leaf_der.data();
  const unsigned char* const end = next + leaf_der.size();
  while (next != end) {
    const unsigned char* const start = next;
    const X509Ptr certificate(d2i_X509(nullptr, &next, end - next));
    if (!certificate) return refuse(Reason::certificate_malformed, "stored certificate: " + take_openssl_error());
    chain.emplace_back(start, next);
  }
  return chain;
}

Outcome<Rechecked> recheck_member_until(const Bytes& leaf_der, const TrustStore& trust, const std::string& group_id,
                                        std::int64_t unix_now, Grace grace) {
  SEALCAST_TRY_ASSIGN(const auto chain, stored_chain(leaf_der));
  const auto of_all = [grace](const PeerIdentity&) { return grace; };
  return verify_member_chain(trust, chain, group_id, unix_now, MemberKeyUse::sign, of_all)
      .map([](const VerifiedChain& verified) {
        return Rechecked{verified.holds_until(), verified.late()};
      });
}

Outcome<void> recheck_key_server(const Bytes& leaf_der, const TrustStore& trust, const std::string& server_name,
                                 std::int64_t unix_now, Grace grace) {
  SEALCAST_TRY_ASSIGN(const auto chain, stored_chain(leaf_der));
  const auto of_all = [grace](const PeerIdentity&) { return grace; };
  return verify_server_chain(trust, chain, server_name, true, unix_now, of_all).map([](const VerifiedChain&) {});
}

Outcome<void> recheck_member(const Bytes& leaf_der, const TrustStore& trust, const std::string& group_id,
                             std::int64_t unix_now, Grace grace) {
  return recheck_member_until(leaf_der, trust, group_id, unix_now, grace).map([](const Rechecked&) {});
}

}  // namespace sealcast::handshake
