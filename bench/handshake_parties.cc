#include "bench/handshake_parties.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include <cstdio>
#include <cstdlib>

namespace sealcast::bench {
namespace {

using handshake::testing::KeyKind;
using handshake::testing::test_now;
using handshake::testing::TestIdentity;
using handshake::testing::TestPki;
using handshake::testing::World;

// ---------------------------------------------------------------- ours

class SealcastParty final : public Party {
 public:
  explicit SealcastParty(std::unique_ptr<handshake::Endpoint> endpoint) : endpoint_(std::move(endpoint)) {}
  bool receive(ByteView bytes) override {
    if (!endpoint_->receive(bytes, test_now)) return false;
    for (const handshake::Event& event : endpoint_->take_events())
      if (std::holds_alternative<handshake::Established>(event)) established_ = true;
    return true;
  }
  Bytes take_output() override { return endpoint_->take_output(); }
  bool established() const override { return established_; }

 private:
  std::unique_ptr<handshake::Endpoint> endpoint_;
  bool established_ = false;
};

class SealcastPairing final : public Pairing {
 public:
  explicit SealcastPairing(std::unique_ptr<World> world)
      : world_(std::move(world)),
        server_(std::make_shared<handshake::ServerConfig>(world_->server_config)),
        client_(std::make_shared<handshake::ClientConfig>(world_->client_config)) {}
  std::unique_ptr<Party> server() override {
    // With passwords the test world is needed behind the endpoint: it answers at once.
    return std::make_unique<SealcastParty>(
        world_->passwords ? world_->server() : make_server(server_, world_->authority, handshake::system_random()));
  }
  std::unique_ptr<Party> client() override {
    return std::make_unique<SealcastParty>(make_client(client_, handshake::system_random()));
  }

 private:
  std::unique_ptr<World> world_;
  std::shared_ptr<const handshake::ServerConfig> server_;
  std::shared_ptr<const handshake::ClientConfig> client_;
};

// ---------------------------------------------------------------- OpenSSL

void must(bool good, const char* what) {
  if (good) return;
  std::fprintf(stderr, "handshake_bench: libssl refuses %s\n", what);
  ERR_print_errors_fp(stderr);
  std::exit(1);
}

struct FreeContext {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};
using Context = std::unique_ptr<SSL_CTX, FreeContext>;

struct FreeBio {
  void operator()(BIO* bio) const { BIO_free(bio); }
};
using BioPtr = std::unique_ptr<BIO, FreeBio>;

BioPtr reading(const std::string& text) {
  return BioPtr(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

Context context(const SSL_METHOD* method, const TestIdentity& identity, const std::string& ca_pem) {
  Context made(SSL_CTX_new(method));
  SSL_CTX* ctx = made.get();
  must(ctx != nullptr, "a context");
  must(SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1 &&
           SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION) == 1,
       "TLS 1.2");
  must(SSL_CTX_set_cipher_list(ctx, "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384") == 1, "the suites");
  // The exchange uses the first curve; a P-256 certificate needs its curve on the list, too.
  must(SSL_CTX_set1_groups_list(ctx, "X25519:P-256") == 1, "X25519");
  SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION);
  const BioPtr certificate_text = reading(identity.chain_pem);
  const std::unique_ptr<X509, decltype(&X509_free)> certificate(
      PEM_read_bio_X509(certificate_text.get(), nullptr, nullptr, nullptr), &X509_free);
  const BioPtr key_text = reading(identity.key_pem);
  const std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key(
      PEM_read_bio_PrivateKey(key_text.get(), nullptr, nullptr, nullptr), &EVP_PKEY_free);
  must(certificate && key && SSL_CTX_use_certificate(ctx, certificate.get()) == 1 &&
           SSL_CTX_use_PrivateKey(ctx, key.get()) == 1,
       "the certificate");
  const BioPtr ca_text = reading(ca_pem);
  const std::unique_ptr<X509, decltype(&X509_free)> ca(PEM_read_bio_X509(ca_text.get(), nullptr, nullptr, nullptr),
                                                       &X509_free);
  must(ca && X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), ca.get()) == 1, "the authority");
  X509_VERIFY_PARAM_set_time(SSL_CTX_get0_param(ctx), test_now);
  SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  return made;
}

class OpensslParty final : public Party {
 public:
  OpensslParty(SSL_CTX* context, bool server) : ssl_(SSL_new(context)) {
    must(ssl_ != nullptr, "a connection");
    BIO* in = BIO_new(BIO_s_mem());
    BIO* out = BIO_new(BIO_s_mem());
    must(in != nullptr && out != nullptr, "a memory BIO");
    BIO_set_mem_eof_return(in, -1);
    SSL_set_bio(ssl_, in, out);  // owns both
    if (server) {
      SSL_set_accept_state(ssl_);
    } else {
      must(SSL_set1_host(ssl_, "ks.example") == 1, "the server's name");
      SSL_set_connect_state(ssl_);
      (void)step();
    }
  }
  ~OpensslParty() override { SSL_free(ssl_); }
  OpensslParty(const OpensslParty&) = delete;
  OpensslParty& operator=(const OpensslParty&) = delete;

  bool receive(ByteView bytes) override {
    if (BIO_write(SSL_get_rbio(ssl_), bytes.data(), static_cast<int>(bytes.size())) != static_cast<int>(bytes.size()))
      return false;
    return step();
  }
  Bytes take_output() override {
    char* data = nullptr;
    BIO* out = SSL_get_wbio(ssl_);
    const long size = BIO_get_mem_data(out, &data);
    Bytes bytes(data, data + size);
    (void)BIO_reset(out);
    return bytes;
  }
  bool established() const override { return SSL_is_init_finished(ssl_) == 1; }

 private:
  bool step() {
    const int done = SSL_do_handshake(ssl_);
    return done == 1 || SSL_get_error(ssl_, done) == SSL_ERROR_WANT_READ;
  }
  SSL* ssl_;
};

class OpensslPairing final : public Pairing {
 public:
  explicit OpensslPairing(KeyKind key) {
    TestPki pki;
    server_ = context(TLS_server_method(), pki.server("ks.example", key), pki.ca_pem());
    client_ = context(TLS_client_method(), pki.member("member-a", {"tv"}, key), pki.ca_pem());
  }
  std::unique_ptr<Party> server() override { return std::make_unique<OpensslParty>(server_.get(), true); }
  std::unique_ptr<Party> client() override { return std::make_unique<OpensslParty>(client_.get(), false); }

 private:
  Context server_, client_;
};

}  // namespace

std::unique_ptr<Pairing> make_sealcast(std::unique_ptr<World> world) {
  return std::make_unique<SealcastPairing>(std::move(world));
}

std::unique_ptr<Pairing> make_openssl(KeyKind key) {
  return std::make_unique<OpensslPairing>(key);
}

bool shake(Party& client, Party& server) {
  for (;;) {
    const Bytes up = client.take_output();
    if (!up.empty() && !server.receive(up)) return false;
    const Bytes down = server.take_output();
    if (!down.empty() && !client.receive(down)) return false;
    if (up.empty() && down.empty()) return client.established() && server.established();
  }
}

}  // namespace sealcast::bench
