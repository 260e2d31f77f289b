// One error table in code and documentation.
#include "handshake/error.h"

#include <gtest/gtest.h>

#include <fstream>
#include <set>
#include <sstream>

#include "base/testing/places.h"
#include "handshake/certificate/multicast_extension.h"

namespace sealcast::handshake {
namespace {

std::string documentation() {
  std::ifstream file(places::source_folder() + "/docs/protocol.md");
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

TEST(ErrorTable, TheDocumentationHoldsTheSameLines) {
  const std::string text = documentation();
  ASSERT_FALSE(text.empty());
  std::set<std::string> documented;
  std::istringstream lines(text.substr(text.find("| reason | alert | meaning |")));
  std::string line;
  std::getline(lines, line);
  std::getline(lines, line);
  while (std::getline(lines, line) && line.starts_with("| "))
    documented.insert(line);
  for (const ReasonEntry& entry : reason_table()) {
    const std::string alert = entry.alert == Alert::close_notify ? "none" : std::string(name(entry.alert));
    const std::string expected =
        "| " + std::string(entry.name) + " | " + alert + " | " + std::string(entry.meaning) + " |";
    EXPECT_EQ(documented.erase(expected), 1u) << "docs/protocol.md lacks: " << expected;
  }
  EXPECT_TRUE(documented.empty()) << "docs/protocol.md has a line the code has not: " << *documented.begin();
}

TEST(ErrorTable, NamesAreUnique) {
  std::set<std::string_view> names;
  for (const ReasonEntry& entry : reason_table())
    EXPECT_TRUE(names.insert(entry.name).second) << entry.name;
}

TEST(ErrorTable, OneLineSaysEverything) {
  HandshakeError error = refuse(Reason::unexpected_message, "expected Finished, got Certificate").value();
  error.place = "server, variant 2";
  EXPECT_EQ(
      error.message(),
      "unexpected_message: expected Finished, got Certificate (server, variant 2); alert sent: unexpected_message");
  error.from_peer = true;
  EXPECT_NE(error.message().find("alert from the peer"), std::string::npos);
}

TEST(Documentation, TheExtensionsNumberIsDocumented) {
  EXPECT_NE(documentation().find(multicast_extension_oid), std::string::npos);
}

}  // namespace
}  // namespace sealcast::handshake
