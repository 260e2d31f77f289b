#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <ctime>
#include <memory>
#include <string>
#include <vector>

#include "app/cli/commands.h"
#include "app/exit_code.h"
#include "base/esp_overhead.h"
#include "base/port_spec.h"
#include "controlplane/config/config.h"
#include "controlplane/passwords/password_file.h"
#include "controlplane/pki/inspect.h"
#include "dataplane/dpdk/device_check.h"

namespace sealcast::cli {
namespace {

using app::ExitCode;

struct Report {
  std::string file;
  std::vector<config::Diagnostic> errors;
  std::vector<config::Diagnostic> warnings;

  void error(const std::string& key, std::string message) { errors.push_back({file, 0, 0, key, std::move(message)}); }
  void warning(const std::string& key, std::string message) {
    warnings.push_back({file, 0, 0, key, std::move(message)});
  }
};

// The configuration's reader only warns of a file that isn't there yet. Here that is an error, at the same place. True
// if there was such a warning.
bool promote(Report& report, const std::string& key) {
  const auto found =
      std::find_if(report.warnings.begin(), report.warnings.end(), [&](const auto& w) { return w.key == key; });
  if (found == report.warnings.end()) return false;
  report.errors.push_back(*found);
  report.warnings.erase(found);
  return true;
}

void take(Report& report, const std::string& key, const std::string& path, const pki::Findings& findings) {
  for (const std::string& text : findings.errors)
    report.error(key, path + ": " + text);
  for (const std::string& text : findings.warnings)
    report.warning(key, path + ": " + text);
}

struct Files {
  std::string certificate, private_key, ca;
  std::optional<std::string> crl;
};

void check_files(Report& report, const std::string& table, const Files& files, pki::Purpose purpose,
                 const std::vector<std::string>& groups) {
  const auto read = [&](const std::string& name, const std::string& path) {
    auto text = config::read_pem(path, name);
    if (!text && !promote(report, table + "." + name)) report.error(table + "." + name, text.error().message);
    return text;
  };
  const std::int64_t now = std::time(nullptr);
  if (!files.certificate.empty()) {  // a member that has passwords alone needs none
    const auto chain = read("certificate", files.certificate);
    const auto key = config::read_private_key(files.private_key);
    if (!key && !promote(report, table + ".private_key")) report.error(table + ".private_key", key.error().message);
    if (chain && key)
      take(report, table + ".certificate", files.certificate,
           pki::inspect_identity(*chain, key->view(), purpose, groups, now));
  }
  const auto ca = read("ca", files.ca);
  Result<std::string> crl;
  if (files.crl) crl = read("crl", *files.crl);
  if (ca && crl)
    take(report, table + ".ca", files.crl ? files.ca + ", " + *files.crl : files.ca,
         pki::inspect_trust(*ca, *crl, now));
}

// What each group's suite demands of a key; a problem of several groups is reported once.
void check_key(Report& report, const std::string& key, const std::string& path, pki::KeyUse use,
               const std::string& group) {
  const auto chain = config::read_pem(path, "certificate");
  if (!chain) return;  // reported already
  for (const std::string& text : pki::inspect_key(*chain, use).errors)
    report.error(key, path + ": for group \"" + group + "\": " + text);
}

pki::KeyUse server_key_use(const handshake::GroupFlow& flow) {
  const auto suite = handshake::name(flow.suite);
  return suite.find("ECDSA") != std::string_view::npos ? pki::KeyUse::ecdsa_signature : pki::KeyUse::rsa_signature;
}

void check_passwords(Report& report, const config::KeyserverConfig& keyserver) {
  const bool used = std::any_of(keyserver.groups.begin(), keyserver.groups.end(),
                                [](const auto& group) { return group.uses_passwords(); });
  if (!used || !keyserver.password_file) return;
  const auto file = passwords::PasswordFile::load(*keyserver.password_file);
  if (!file) {
    if (!promote(report, "keyserver.password_file")) report.error("keyserver.password_file", file.error().message);
    return;
  }
  const auto users = file->users();
  if (users.empty()) report.warning("keyserver.password_file", *keyserver.password_file + ": no user stands in it");
  for (const auto& group : keyserver.groups) {
    if (group.uses_certificates()) continue;
    for (const auto* list : {&group.members, &group.senders})
      for (const std::string& user : *list)
        if (std::find(users.begin(), users.end(), user) == users.end())
          report.warning("keyserver.password_file", *keyserver.password_file + ": has no user \"" + user +
                                                        "\", named by group \"" + group.id + "\"");
  }
}

void check_keyserver(Report& report, const config::KeyserverConfig& keyserver) {
  // A credential is there only while the service manager runs the key server.
  const auto check_key_file = [&](const auto& key, const std::string& name, bool credential) {
    if (!key && !promote(report, name) && !credential) report.error(name, key.error().message);
  };
  if (keyserver.cluster)
    check_key_file(config::read_cluster_key(*keyserver.cluster), "keyserver.cluster.key_file",
                   keyserver.cluster->key_credential.has_value());
  check_key_file(config::read_wrapping_key(keyserver), "keyserver.wrapping_key_file",
                 keyserver.wrapping_key_credential.has_value());
  check_files(report, "keyserver", {keyserver.certificate, keyserver.private_key, keyserver.ca, keyserver.crl},
              pki::Purpose::key_server, {});
  for (const auto& group : keyserver.groups)
    check_key(report, "keyserver.certificate", keyserver.certificate, server_key_use(group.flow), group.id);
  check_passwords(report, keyserver);
}

void check_member_files(Report& report, const config::MemberConfig& member) {
  std::vector<std::string> groups;
  for (const auto& group : member.groups)
    if (group.uses_certificate()) groups.push_back(group.id);
  check_files(report, "member", {member.certificate, member.private_key, member.ca, member.crl}, pki::Purpose::member,
              groups);
}

void check_member_group(Report& report, const config::MemberConfig& member, const config::MemberGroup& group) {
  if (std::all_of(group.flows.begin(), group.flows.end(), [](const auto& flow) { return flow.variant == 1; }))
    check_key(report, "member.certificate", member.certificate, pki::KeyUse::rsa_decryption, group.id);
  if (!group.uses_password()) return;
  if (group.uses_certificate()) {
    if (const auto chain = config::read_pem(member.certificate, "certificate"))
      for (const std::string& text : pki::inspect_user(*chain, group.user).errors)
        report.error("member.certificate", member.certificate + ": " + text);
  }
  if (group.password->kind == config::PasswordSource::Kind::file)
    if (const auto password = config::read_password(*group.password); !password)
      report.error("member.group", "group \"" + group.id + "\": " + password.error().message);
}

void check_gateway(Report& report, const config::GatewayConfig& gateway) {
  const auto& member = gateway.member;
  check_member_files(report, member);
  for (const auto& group : member.groups)
    check_member_group(report, member, group);
  for (const auto& [name, port] : {std::pair("black", &gateway.black), std::pair("red", &gateway.red)}) {
    const auto spec = dataplane::parse_port(port->device);
    if (!spec) {
      report.error(std::string(name) + ".device", spec.error().message);
      continue;
    }
    for (const std::string& warning : dataplane::port_warnings(*spec))
      report.warning(std::string(name) + ".device", warning);
    // Warnings: the file may be checked on another machine than its gateway's, or before the interface is made.
    if (const auto device = dataplane::check_device(*spec, static_cast<std::uint16_t>(port->mtu)); !device)
      report.warning(std::string(name) + ".device", "on this machine: " + device.error().message);
  }
  if (gateway.keyserver) check_keyserver(report, *gateway.keyserver);
}

std::string places(const config::KeyserverConfig& config) {
  std::string out = config.listen ? "TCP " + config.listen->text() : "";
  if (config.listen_isakmp) out += (out.empty() ? "TCP " : " and ") + config.listen_isakmp->text() + " (ISAKMP)";
  return out;
}

// "1556 (tunnel-preserve, IPv4), 1576 (tunnel-preserve, IPv6)": the black MTUs that the file's groups need.
std::string black_mtus(const config::GatewayConfig& config) {
  std::string out;
  for (const auto& need : config::black_mtu_needs(config)) {
    if (!out.empty()) out += ", ";
    out += std::to_string(need.bytes) + " (" + text(need.mode) + ", IPv" + std::to_string(need.ip_version) + ")";
  }
  return out;
}

// "1446 (tunnel-preserve, IPv4)": the largest packets that fit the file's black MTU without being cut.
std::string uncut_sizes(const config::GatewayConfig& config) {
  std::string out;
  for (const auto& need : config::black_mtu_needs(config)) {
    if (!out.empty()) out += ", ";
    out += std::to_string(largest_inner_bytes(need.mode, need.ip_version, config.black.mtu)) + " (" + text(need.mode) +
           ", IPv" + std::to_string(need.ip_version) + ")";
  }
  return out;
}

int run_check(const std::string& file, bool verbose) {
  Report report;
  report.file = file;
  const auto kind = config::detect_kind(file);
  report.errors = kind.errors;
  std::string needs;
  if (kind.ok() && *kind.value == config::FileKind::gateway) {
    auto loaded = config::load_gateway_config(file);
    report.errors = std::move(loaded.errors);
    report.warnings = std::move(loaded.warnings);
    if (loaded.value) {
      check_gateway(report, *loaded.value);
      needs = "a gateway's file; needs " + std::to_string(loaded.value->memory_mb) +
              " MB of hugepages and, for red packets of " + std::to_string(loaded.value->red.mtu) +
              " bytes, a black MTU of " + black_mtus(*loaded.value) + "; through its black MTU of " +
              std::to_string(loaded.value->black.mtu) + " fit uncut red packets of up to " + uncut_sizes(*loaded.value);
    }
  } else if (kind.ok()) {
    auto loaded = config::load_keyserver_config(file);
    report.errors = std::move(loaded.errors);
    report.warnings = std::move(loaded.warnings);
    if (loaded.value) {
      check_keyserver(report, *loaded.value);
      needs = "a key server's file; listens at " + places(*loaded.value);
    }
  }
  for (const auto& problem : report.errors)
    std::fprintf(stderr, "error: %s\n", problem.text().c_str());
  for (const auto& problem : report.warnings)
    std::fprintf(stderr, "warning: %s\n", problem.text().c_str());
  if (verbose && !needs.empty()) std::printf("%s: %s\n", file.c_str(), needs.c_str());
  return report.errors.empty() ? ExitCode::ok : ExitCode::bad_configuration;
}

}  // namespace

void add_check(CLI::App& app, const Choose& choose) {
  struct Arguments {
    std::string file;
    bool verbose = false;
  };
  auto arguments = std::make_shared<Arguments>();
  CLI::App* check = app.add_subcommand("check", "Validate a configuration file and the certificates it names");
  check->add_option("FILE", arguments->file, "a gateway's or key server's TOML file")->required();
  check->add_flag("-v,--verbose", arguments->verbose, "also say what the file is and what it needs");
  check->callback([=] { choose([=] { return run_check(arguments->file, arguments->verbose); }); });
}

}  // namespace sealcast::cli
