// constant_time_checks CHECK [KEYFILE]: runs one operation on poisoned secrets. Under valgrind it must be silent; the
// controls leak on purpose and must be reported. Run by run.sh, see README.md.
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <functional>
#include <map>
#include <string>

#include "base/secret.h"
#include "controlplane/passwords/password_file.h"
#include "handshake/crypto/aead.h"
#include "handshake/crypto/key_transport.h"
#include "handshake/crypto/prf.h"
#include "handshake/isakmp/cookie.h"
#include "handshake/keys/key_schedule.h"
#include "handshake/machine/proof.h"
#include "tests/constant_time/poison.h"

// The linker sends every call to these two here (--wrap). The result of comparing secrets is public: the next action
// shows it to every peer. Only the time it took must stay secret.
extern "C" {
bool real_equal(const std::uint8_t* a, const std::uint8_t* b, std::size_t n) noexcept
    __asm__("__real__ZN8sealcast19equal_constant_timeEPKhS1_m");
bool wrapped_equal(const std::uint8_t* a, const std::uint8_t* b, std::size_t n) noexcept
    __asm__("__wrap__ZN8sealcast19equal_constant_timeEPKhS1_m");
int __real_crypto_pwhash_str_verify(const char* hash, const char* password, unsigned long long length);
int __wrap_crypto_pwhash_str_verify(const char* hash, const char* password, unsigned long long length);
}

namespace {

using namespace sealcast;                 // NOLINT: a test of it
using namespace sealcast::handshake;      // NOLINT
using namespace sealcast::constant_time;  // NOLINT

int comparisons = 0;      // made through the wrapper
int password_hashes = 0;  // likewise

const char* key_file = "";  // an RSA key for variant 1; made by make_key, outside of valgrind, which is slow

int make_key() {
  const PkeyPtr key(EVP_RSA_gen(2048));
  const BioPtr file(BIO_new_file(key_file, "w"));
  const bool made =
      key && file && PEM_write_bio_PrivateKey(file.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) == 1;
  if (!made) std::fprintf(stderr, "no key could be written to \"%s\"\n", key_file);
  return made ? 0 : 2;
}

// A check proves nothing if the code under test never ran.
void expect(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "the check is broken: %s\n", what);
  std::exit(2);
}

template <typename Container>
void poison(Container& secret) {
  constant_time::poison(secret.data(), secret.size());
}

template <std::size_t N>
Secret<N> poisoned_secret(std::uint8_t value = 7) {
  Secret<N> secret;
  std::fill_n(secret.data(), N, value);
  poison(secret);
  return secret;
}

SecretBytes poisoned_bytes(std::size_t size, std::uint8_t value = 7) {
  SecretBytes secret(size);
  std::fill_n(secret.data(), size, value);
  poison(secret);
  return secret;
}

VerifyData poisoned_verify_data(std::uint8_t last) {
  VerifyData data{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, last};
  poison(data);
  return data;
}

Digest digest() {
  Digest made;
  made.size = 48;
  return made;
}

// ---------------------------------------------------------------- must be silent

void secret_comparison() {
  const auto a = poisoned_secret<48>();
  const auto b = poisoned_secret<48>();
  auto c = poisoned_secret<48>();
  c.data()[0] = 9;
  poison(c);
  expect(a.equals(b) && !a.equals(c), "equals() is wrong");
  expect(!declassified(a.is_zero()), "is_zero() is wrong");
  expect(comparisons == 2, "equals() does not use equal_constant_time()");
}

void finished() {
  const auto expected = poisoned_verify_data(12);
  expect(PeerFinishedVerified::check(expected, poisoned_verify_data(12)).has_value(), "a right Finished is refused");
  expect(!PeerFinishedVerified::check(expected, poisoned_verify_data(13)).has_value(), "a wrong Finished passes");
  expect(comparisons == 2, "Finished is compared by something else");
}

void server_verify_data_field() {
  const auto expected = poisoned_verify_data(12);
  expect(ServerProofVerified::check(expected, poisoned_verify_data(12)).has_value(), "a right proof is refused");
  expect(!ServerProofVerified::check(expected, poisoned_verify_data(13)).has_value(), "a wrong proof passes");
  expect(comparisons == 2, "server_verify_data is compared by something else");
}

void pseudo_random_function() {
  for (const HashKind hash : {HashKind::sha256, HashKind::sha384}) {
    const auto secret = poisoned_bytes(48);
    Secret<48> out;
    prf(hash, secret.view(), "label", digest().view(), out.span());
  }
}

void key_schedule() {
  for (const CipherSuite suite :
       {CipherSuite::ecdhe_ecdsa_aes_128_gcm_sha256, CipherSuite::ecdhe_ecdsa_aes_256_gcm_sha384}) {
    const HashKind hash = prf_hash(suite);
    const auto premaster = poisoned_bytes(32);
    const MasterSecret first = extended_master_secret(hash, premaster.view(), digest());
    const GroupMaster group = derive_group_master(suite, poisoned_secret<48>());
    (void)derive_epoch_id(suite, group);
    (void)derive_sa_key(suite, group, "tv", 1, 0x10000000);
    const MasterSecret channel = channel_master(hash, first, group, digest());
    (void)expand_keys(suite, channel, HelloRandom{}, HelloRandom{});
    (void)finished_data(hash, channel, Side::client, digest());
    (void)server_verify_data(hash, first, digest());
  }
}

void record_sealing() {
  for (const std::size_t size : {16, 32}) {
    DirectionKeys keys{poisoned_bytes(size), poisoned_secret<4>()};
    AesGcm sealer(keys, AesGcm::Direction::seal);
    const auto plaintext = poisoned_bytes(100);
    Bytes out(plaintext.size() + gcm_tag_size);
    sealer.seal(1, Bytes(13), plaintext.view(), out);
  }
}

void isakmp_cookie() {
  isakmp::CookieKeys keys{poisoned_secret<32>(1)};
  keys.rotate(poisoned_secret<32>(2));
  const isakmp::PeerAddress peer{IpAddress::v4(0x0a000001), 7400};
  const isakmp::Cookie initiator{1};
  auto cookie = keys.make(peer, initiator, 1000);
  expect(cookie.has_value(), "no cookie was made");
  declassify(cookie->data(), cookie->size());  // the peer gets it
  const auto good = keys.check(peer, initiator, *cookie, 1000);
  (*cookie)[7] ^= 1;
  const auto bad = keys.check(peer, initiator, *cookie, 1000);
  expect(good && *good && bad && !*bad, "the cookie check is wrong");
  expect(comparisons == 8, "cookies are compared by something else");  // two keys, two time slots, twice
}

// H6: from libcrypto's result to the verdict nothing depends on the decrypted data. The ciphertext is poisoned, and
// with it all data derived from it. libcrypto's own big numbers and OAEP decoding are suppressed (libcrypto.supp): they
// run in constant time by means that valgrind reports as dependent.
void key_transport() {
  const BioPtr file(BIO_new_file(key_file, "r"));
  const PkeyPtr key(file ? PEM_read_bio_PrivateKey(file.get(), nullptr, nullptr, nullptr) : nullptr);
  expect(key != nullptr, "the RSA key cannot be read");
  const auto seal = [&](std::size_t size, std::uint8_t fill, bool break_it = false) {
    const PkeyCtxPtr context(EVP_PKEY_CTX_new_from_pkey(nullptr, key.get(), nullptr));
    const Bytes plaintext(size, fill);
    Bytes sealed(256);
    std::size_t length = sealed.size();
    expect(EVP_PKEY_encrypt_init(context.get()) == 1 &&
               EVP_PKEY_CTX_set_rsa_padding(context.get(), RSA_PKCS1_OAEP_PADDING) == 1 &&
               EVP_PKEY_CTX_set_rsa_oaep_md(context.get(), EVP_sha256()) == 1 &&
               EVP_PKEY_encrypt(context.get(), sealed.data(), &length, plaintext.data(), size) == 1,
           "nothing was sealed");
    if (break_it) sealed[200] ^= 1;
    poison(sealed);
    return sealed;
  };
  const auto good = open_keys(key.get(), seal(96, 7));
  expect(good.has_value(), "a good ciphertext is refused");
  expect(poisoned(good->premaster.data()), "the poison was lost on its way through libcrypto");
  expect(!open_keys(key.get(), seal(95, 7)), "95 bytes pass");
  expect(!open_keys(key.get(), seal(97, 7)), "97 bytes pass");
  expect(!open_keys(key.get(), seal(96, 0)), "an all-zero premaster passes");
  expect(!open_keys(key.get(), seal(96, 7, true)), "a broken padding passes");
  expect(comparisons == 5, "the verdict comes from somewhere else");
}

// Argon2id itself addresses memory by the password in its later passes, by design (RFC 9106 §3.4); libsodium.supp
// suppresses libsodium. Our own code around it is under test.
void password() {
  static const passwords::HashPolicy policy{{8, 1}, {8, 1}, {64, 3}};
  auto file = passwords::PasswordFile::parse("", "passwd", policy);
  expect(file.has_value(), "no password file was made");
  SecretBytes right(6);
  std::memcpy(right.data(), "secret", 6);
  expect(file->set("anna", right).has_value(), "no password was set");
  password_hashes = 0;
  constant_time::poison(right.data(), right.size());
  const auto wrong = poisoned_bytes(6, 'x');
  const auto yes = file->verify("anna", right);
  const auto no = file->verify("anna", wrong);
  const auto unknown = file->verify("bert", wrong);
  expect(yes && *yes && no && !*no && unknown && !*unknown, "the password check is wrong");
  expect(password_hashes == 3, "a verification does not run exactly one Argon2id");
}

// ---------------------------------------------------------------- must be reported

void control_branch() {
  const auto secret = poisoned_secret<32>();
  volatile int sink = 0;
  for (std::size_t i = 0; i < secret.size(); ++i)
    if (secret.data()[i] == 7) sink = sink + 1;
}

void control_early_exit_comparison() {
  const auto a = poisoned_verify_data(12);
  const auto b = poisoned_verify_data(12);
  volatile bool same = declassified(std::equal(a.begin(), a.end(), b.begin()));
  (void)same;
}

void control_table_lookup() {
  static const std::array<std::uint8_t, 256> table{};
  const auto secret = poisoned_secret<4>();
  volatile std::uint8_t sink = table[secret.data()[0]];
  (void)sink;
}

// The same through the library: the key schedule's output still counts as secret.
void control_branch_on_a_derived_key() {
  const GroupMaster group = derive_group_master(CipherSuite::ecdhe_ecdsa_aes_256_gcm_sha384, poisoned_secret<48>());
  volatile int sink = 0;
  if (group.data()[0] > 127) sink = sink + 1;
}

const std::map<std::string, std::function<void()>> checks = {
    {"secret_comparison", secret_comparison},
    {"finished", finished},
    {"server_verify_data", server_verify_data_field},
    {"prf", pseudo_random_function},
    {"key_schedule", key_schedule},
    {"record_sealing", record_sealing},
    {"isakmp_cookie", isakmp_cookie},
    {"key_transport", key_transport},
    {"password", password},
    {"control_branch", control_branch},
    {"control_early_exit_comparison", control_early_exit_comparison},
    {"control_table_lookup", control_table_lookup},
    {"control_branch_on_a_derived_key", control_branch_on_a_derived_key},
};

}  // namespace

bool wrapped_equal(const std::uint8_t* a, const std::uint8_t* b, std::size_t n) noexcept {
  ++comparisons;
  return declassified(real_equal(a, b, n));
}

int __wrap_crypto_pwhash_str_verify(const char* hash, const char* password, unsigned long long length) {
  ++password_hashes;
  return declassified(__real_crypto_pwhash_str_verify(hash, password, length));
}

int main(int argc, char** argv) {
  const std::string wanted = argc > 1 ? argv[1] : "";
  if (argc > 2) key_file = argv[2];
  if (wanted == "make_key") return make_key();
  const auto check = checks.find(wanted);
  if (check == checks.end()) {
    std::fprintf(stderr, "usage: constant_time_checks CHECK [KEYFILE], or make_key KEYFILE; the checks are:\n");
    for (const auto& [name, run] : checks)
      std::fprintf(stderr, "  %s\n", name.c_str());
    return 2;
  }
  if (!watched())
    std::fprintf(stderr, "%s\n",
                 SEALCAST_HAVE_MEMCHECK != 0 ? "not under valgrind: nothing is watched"
                                             : "built without valgrind/memcheck.h: nothing is watched");
  check->second();
  return watched() ? 0 : 77;
}
