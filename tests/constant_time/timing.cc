// constant_time_timing EXPERIMENT [SAMPLES]: how long operations take with outcomes that a stranger must not
// distinguish. All outcomes are measured in turns, in a new order each round, so that whatever else the machine does
// falls on each alike. Prints percentiles, histograms, and how far every outcome is from the first:
//   Welch's t, without the slowest 5 % (interrupts): beyond 4.5 either way the means differ;
//   Kolmogorov and Smirnov's distance: 1.63 * sqrt(2 / SAMPLES) is what equal ones exceed once in a hundred times.
#include <openssl/rsa.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "base/secret.h"
#include "controlplane/passwords/password_file.h"
#include "handshake/crypto/key_transport.h"
#include "handshake/endpoint.h"

namespace {

using namespace sealcast;  // NOLINT: a test of it

struct Outcome {
  std::string name;
  std::function<void()> run;
  std::vector<double> ns = {};  // sorted after the measurement
};
using Experiment = std::function<std::vector<Outcome>()>;

[[noreturn]] void give_up(const std::string& why) {
  std::fprintf(stderr, "constant_time_timing: %s\n", why.c_str());
  std::exit(2);
}

SecretBytes secret(const std::string& text) {
  SecretBytes made(text.size());
  std::copy(text.begin(), text.end(), made.data());
  return made;
}

// ---------------------------------------------------------------- experiments

Bytes differing_at(std::size_t place) {
  Bytes made(257);
  made[place] = 1;
  return made;
}

// A comparison that stops at the first difference: if the figures do not show it, they show nothing.
std::vector<Outcome> control() {
  const auto leaking = [](std::size_t difference) {
    return [a = Bytes(256), b = differing_at(difference)] {
      volatile std::size_t at = 0;
      while (at < 256 && a[at] == b[at])
        at = at + 1;
    };
  };
  return {{"first byte differs", leaking(0)}, {"last byte differs", leaking(255)}};
}

std::vector<Outcome> comparison() {
  const auto compare = [](std::size_t difference) {
    return [a = Bytes(256), b = differing_at(difference)] {
      volatile bool same = equal_constant_time(a.data(), b.data(), 256);
      (void)same;
    };
  };
  return {{"equal", compare(256)}, {"first byte differs", compare(0)}, {"last byte differs", compare(255)}};
}

// AUTH-2. User names of the same length: a longer name takes longer, known or not. The cheapest possible hashes: beside
// a real one of 100 ms and more, no difference would show.
std::vector<Outcome> password() {
  static const passwords::HashPolicy policy{{8, 1}, {8, 1}, {64, 3}};
  auto parsed = passwords::PasswordFile::parse("", "passwd", policy);
  if (!parsed) give_up(parsed.error().message);
  static passwords::PasswordFile file = std::move(*parsed);
  for (int user = 0; user < 200; ++user)
    if (!file.set("user" + std::to_string(user), secret("password"))) give_up("no password was set");
  const auto attempt = [](const std::string& user, const std::string& text) {
    return [user, text] {
      const auto verified = file.verify(user, secret(text));
      if (!verified || *verified) give_up("a wrong password passed");
    };
  };
  return {{"wrong password", attempt("user100", "not it..")},
          {"unknown user", attempt("user999", "not it..")},
          {"unknown user, a right password", attempt("user998", "password")}};
}

// Variant 1's failures (H6, SMKE-3), by the function that the client calls; all its failures look the same outside.
// Each outcome has a set of ciphertexts of its own, taken in turn.
std::vector<Outcome> key_transport() {
  static const handshake::PkeyPtr key(EVP_RSA_gen(2048));
  if (!key) give_up("no RSA key was made");
  const auto seal = [](const Bytes& plaintext, const EVP_MD* digest) {
    const handshake::PkeyCtxPtr context(EVP_PKEY_CTX_new_from_pkey(nullptr, key.get(), nullptr));
    Bytes sealed(256);
    std::size_t size = sealed.size();
    if (!context || EVP_PKEY_encrypt_init(context.get()) != 1 ||
        EVP_PKEY_CTX_set_rsa_padding(context.get(), RSA_PKCS1_OAEP_PADDING) != 1 ||
        EVP_PKEY_CTX_set_rsa_oaep_md(context.get(), digest) != 1 ||
        EVP_PKEY_CTX_set_rsa_mgf1_md(context.get(), EVP_sha256()) != 1 ||
        EVP_PKEY_encrypt(context.get(), sealed.data(), &size, plaintext.data(), plaintext.size()) != 1)
      give_up("nothing was sealed");
    return sealed;
  };
  const auto outcome = [](const std::string& name, bool opens, const std::function<Bytes()>& make) {
    std::vector<Bytes> sealed;
    for (int i = 0; i < 256; ++i)
      sealed.push_back(make());
    return Outcome{name, [sealed, opens, next = std::size_t{0}]() mutable {
                     const auto keys = handshake::open_keys(key.get(), sealed[next++ % sealed.size()]);
                     if (keys.has_value() != opens) give_up("a ciphertext was not taken as it should be");
                   }};
  };
  const auto plaintext = [](std::size_t size, bool zero_premaster = false) {
    Bytes made(size);
    handshake::system_random().fill(made);
    if (zero_premaster) std::fill_n(made.begin(), 48, std::uint8_t{0});
    return made;
  };
  // Ciphertexts that decrypt to no padding at all, numerically below any 2048-bit modulus like the others.
  const auto noise = [=] {
    Bytes made = plaintext(256);
    made[0] &= 0x7f;
    return made;
  };
  return {outcome("broken padding (noise)", false, noise),
          outcome("broken padding (another label hash)", false, [=] { return seal(plaintext(96), EVP_sha1()); }),
          outcome("95 bytes", false, [=] { return seal(plaintext(95), EVP_sha256()); }),
          outcome("97 bytes", false, [=] { return seal(plaintext(97), EVP_sha256()); }),
          outcome("all-zero premaster", false, [=] { return seal(plaintext(96, true), EVP_sha256()); }),
          outcome("good", true, [=] { return seal(plaintext(96), EVP_sha256()); }),
          // The first once more: how far apart are two sets of ciphertexts of one kind?
          outcome("broken padding (other noise)", false, noise)};
}

const std::map<std::string, Experiment> experiments = {
    {"key_transport", key_transport}, {"control", control}, {"comparison", comparison}, {"password", password}};

// ---------------------------------------------------------------- figures

double percentile(const std::vector<double>& sorted, double p) {
  return sorted[static_cast<std::size_t>(p / 100 * static_cast<double>(sorted.size() - 1))];
}

struct Moments {
  double mean = 0, variance = 0;
};
Moments moments(const std::vector<double>& sorted, double limit) {
  double sum = 0;
  double squares = 0;
  double count = 0;
  for (const double value : sorted) {
    if (value > limit) break;
    sum += value;
    squares += value * value;
    ++count;
  }
  const double mean = sum / count;
  return {mean, (squares / count - mean * mean) / count};
}

double welch(const std::vector<double>& a, const std::vector<double>& b) {
  const double limit = std::max(percentile(a, 95), percentile(b, 95));
  const Moments left = moments(a, limit);
  const Moments right = moments(b, limit);
  return (left.mean - right.mean) / std::sqrt(left.variance + right.variance);
}

double kolmogorov_smirnov(const std::vector<double>& a, const std::vector<double>& b) {
  double distance = 0;
  for (std::size_t i = 0, j = 0; i < a.size() && j < b.size();) {
    const double value = std::min(a[i], b[j]);
    while (i < a.size() && a[i] <= value)
      ++i;
    while (j < b.size() && b[j] <= value)
      ++j;
    distance = std::max(distance, std::abs(static_cast<double>(i) / static_cast<double>(a.size()) -
                                           static_cast<double>(j) / static_cast<double>(b.size())));
  }
  return distance;
}

void measure(std::vector<Outcome>& outcomes, std::size_t samples) {
  std::mt19937 random(1);
  std::vector<Outcome*> order;
  for (Outcome& outcome : outcomes) {
    outcome.ns.reserve(samples);
    order.push_back(&outcome);
  }
  const std::size_t warm_up = std::min<std::size_t>(1000, samples / 10);
  for (std::size_t round = 0; round < samples + warm_up; ++round) {
    std::shuffle(order.begin(), order.end(), random);
    for (Outcome* outcome : order) {
      const auto start = std::chrono::steady_clock::now();
      outcome->run();
      const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - start;
      if (round >= warm_up) outcome->ns.push_back(took.count());
    }
  }
  for (Outcome& outcome : outcomes)
    std::sort(outcome.ns.begin(), outcome.ns.end());
}

void print(const std::vector<Outcome>& outcomes, std::size_t samples) {
  std::printf("%-42s %10s %10s %10s %10s %10s %8s %8s\n", "outcome (ns)", "p1", "p10", "p50", "p90", "p99", "t", "KS");
  for (const Outcome& outcome : outcomes) {
    std::printf("%-42s", outcome.name.c_str());
    for (const double p : {1, 10, 50, 90, 99})
      std::printf(" %10.0f", percentile(outcome.ns, p));
    if (&outcome == &outcomes.front())
      std::printf(" %8s %8s\n", "-", "-");
    else
      std::printf(" %8.2f %8.4f\n", welch(outcome.ns, outcomes.front().ns),
                  kolmogorov_smirnov(outcome.ns, outcomes.front().ns));
  }
  std::printf("%zu samples each; equal ones stay within |t| 4.5 and, 99 times of 100, KS %.4f\n\n", samples,
              1.63 * std::sqrt(2.0 / static_cast<double>(samples)));

  constexpr int histogram_bins = 24;
  const double low = percentile(outcomes.front().ns, 0.5);
  const double width = std::max(1.0, (percentile(outcomes.front().ns, 97) - low) / histogram_bins);
  std::printf("share of each, in %% of its samples\n%10s", "from ns");
  for (std::size_t i = 0; i < outcomes.size(); ++i)
    std::printf("  %6zu", i + 1);
  std::printf("\n");
  for (int bin = 0; bin < histogram_bins; ++bin) {
    const double from = low + bin * width;
    std::printf("%10.0f", from);
    for (const Outcome& outcome : outcomes) {
      const auto first = std::lower_bound(outcome.ns.begin(), outcome.ns.end(), from);
      const auto last = std::lower_bound(first, outcome.ns.end(), from + width);
      std::printf("  %6.2f", 100.0 * static_cast<double>(last - first) / static_cast<double>(outcome.ns.size()));
    }
    std::printf("\n");
  }
}

}  // namespace

int main(int argc, char** argv) {
  const auto experiment = experiments.find(argc > 1 ? argv[1] : "");
  const long samples = argc > 2 ? std::strtol(argv[2], nullptr, 10) : 100'000;
  if (experiment == experiments.end() || samples < 100) {
    std::string names;
    for (const auto& [name, run] : experiments)
      names += " " + name;
    std::fprintf(stderr, "usage: constant_time_timing EXPERIMENT [SAMPLES, 100 or more]; experiments:%s\n",
                 names.c_str());
    return 2;
  }
  auto outcomes = experiment->second();
  measure(outcomes, static_cast<std::size_t>(samples));
  print(outcomes, static_cast<std::size_t>(samples));
  return 0;
}
