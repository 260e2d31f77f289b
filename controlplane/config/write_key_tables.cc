// Writes the tables of keys in docs/configuration.md anew: `cmake --build --preset dev --target configuration_page`.
#include <cstdio>
#include <fstream>
#include <iterator>

#include "controlplane/config/key_tables.h"

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: write_key_tables docs/configuration.md\n");
    return 2;
  }
  std::ifstream in(argv[1]);
  const std::string before{std::istreambuf_iterator<char>(in), {}};
  const auto after = sealcast::config::with_key_tables(before);
  if (!after) {
    std::fprintf(stderr, "%s: %s\n", argv[1], after.error().message.c_str());
    return 1;
  }
  if (*after == before) return 0;
  std::ofstream out(argv[1]);
  out << *after << std::flush;
  return out ? 0 : 1;
}
