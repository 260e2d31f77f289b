// Published test vectors for AES-GCM: NIST's CAVP (Debian's python3-cryptography-vectors) and Wycheproof's.
#pragma once

#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/testing/places.h"

namespace sealcast::dataplane::aead {

inline const std::filesystem::path cavp_folder = "/usr/lib/python3/dist-packages/cryptography_vectors/ciphers/AES/GCM";
// Beside the source tree on machines that keep published test vectors; not part of the project.
inline const std::filesystem::path wycheproof_file =
    places::source_folder() + "/../shared/vectors/wycheproof/aes_gcm_test.json";

struct Vector {
  Bytes key, iv, aad, plain, sealed, tag;
  bool valid = true;  // false: a forgery
  std::string name;   // of file and case
};

// The vectors of one file of cavp_folder that have 96-bit IVs and 128-bit tags. Such a file holds headers
// [Name = value], then records of Name = value; FAIL marks a forgery.
inline std::vector<Vector> read_cavp(const std::string& file) {
  std::vector<Vector> vectors;
  std::ifstream in(cavp_folder / file);
  std::map<std::string, std::string> header, record;
  const auto bytes = [&](const char* name) { return from_hex(record[name]).value(); };
  const auto finish = [&] {
    if (record.contains("Key") && header["IVlen"] == "96" && header["Taglen"] == "128")
      vectors.push_back(
          {bytes("Key"), bytes("IV"), bytes("AAD"), bytes("PT"), bytes("CT"), bytes("Tag"), !record.contains("FAIL"),
           file + " PTlen " + header["PTlen"] + " AADlen " + header["AADlen"] + " Count " + record["Count"]});
    record.clear();
  };
  for (std::string line; std::getline(in, line);) {
    while (!line.empty() && (line.back() == '\r' || line.back() == ' '))
      line.pop_back();
    if (line.empty() || line[0] == '#') continue;
    const bool is_header = line[0] == '[';
    if (is_header) line = line.substr(1, line.size() - 2);
    const std::size_t equals = line.find('=');
    std::string name = line.substr(0, equals);
    while (!name.empty() && name.back() == ' ')
      name.pop_back();
    std::string value = equals == std::string::npos ? "" : line.substr(equals + 1);
    while (!value.empty() && value.front() == ' ')
      value.erase(0, 1);
    if (is_header || name == "Count") finish();
    (is_header ? header : record)[name] = value;
  }
  finish();
  return vectors;
}

// Wycheproof's of the same sizes. None: wycheproof_file is missing or no JSON.
inline std::vector<Vector> read_wycheproof() {
  std::ifstream in(wycheproof_file);
  std::vector<Vector> vectors;
  const auto all = nlohmann::json::parse(in, nullptr, false);
  if (all.is_discarded()) return vectors;
  for (const auto& group : all["testGroups"]) {
    if (group["ivSize"] != 96 || group["tagSize"] != 128 || group["keySize"] == 192) continue;
    for (const auto& test : group["tests"]) {
      const auto bytes = [&](const char* name) { return from_hex(test[name].template get<std::string>()).value(); };
      vectors.push_back({bytes("key"), bytes("iv"), bytes("aad"), bytes("msg"), bytes("ct"), bytes("tag"),
                         test["result"] == "valid", "tcId " + test["tcId"].dump()});
    }
  }
  return vectors;
}

}  // namespace sealcast::dataplane::aead
