#include "controlplane/config/key_tables.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <iterator>

#include "base/testing/places.h"
#include "controlplane/config/testing/texts.h"

namespace sealcast::config {
namespace {

using testing::HasSubstr;

std::string documented_page() {
  std::ifstream in(places::source_folder() + "/docs/configuration.md");
  return {std::istreambuf_iterator<char>(in), {}};
}

// "value, default" of a key's row.
std::string row(const std::string& table, const std::string& key) {
  for (const KeyRow& row : key_rows())
    if (row.table == table && row.key == key) return row.value + ", " + row.standard;
  return "no such row";
}

std::string refusal(const std::string& page) {
  const auto made = with_key_tables(page);
  return made ? "none" : made.error().message;
}

TEST(KeyTables, ThePageHasTheKeysBoundsAndDefaultsOfTheReaders) {
  const std::string page = documented_page();
  const auto made = with_key_tables(page);
  ASSERT_TRUE(made.has_value()) << made.error().message;
  EXPECT_TRUE(*made == page) << "docs/configuration.md differs from what controlplane/config/ reads; write it anew: "
                                "cmake --build --preset dev --target configuration_page";
}

TEST(KeyTables, RowsSayWhatTheReadersCheckAndBeginWith) {
  EXPECT_EQ(row("gateway", "idle_nap_us"), "0 to 1000, 50");
  EXPECT_EQ(row("gateway", "state"), "a path, required");
  EXPECT_EQ(row("gateway", "export_keys"), "a path, none");
  EXPECT_EQ(row("keyserver", "allow_standard"), "true or false, false");
  EXPECT_EQ(row("keyserver", "id"), "a string of 1 to 64 bytes, required");
  EXPECT_EQ(row("keyserver.cluster", "lease_ttl"), "2s to 1m, whole seconds, `\"5s\"`");
  EXPECT_EQ(row("keyserver.group", "epoch_lifetime"), "1s to 720h, `\"24h\"`");
  EXPECT_EQ(row("keyserver.group", "rekey"), "\"unicast\" or \"multicast\", `\"unicast\"`");
  EXPECT_EQ(row("member.group.outer", "dscp"), "0 to 63, the inner packet's");
  EXPECT_EQ(row("black", "mtu"), "576 to 9000, 1500");
  EXPECT_EQ(row("black", "local_sources"), "no such row");
  EXPECT_EQ(row("file", "bypass"), "[[bypass]] tables (1 to 64 of them), none");
}

TEST(KeyTables, EveryTableThatTheReadersKnowIsRead) {
  const std::vector<KeyRow> rows = key_rows();
  for (const KeyRow& row : rows) {
    if (row.value != "a table") continue;
    const std::string name = row.table == "file" ? row.key : row.table + "." + row.key;
    EXPECT_TRUE(std::any_of(rows.begin(), rows.end(), [&](const KeyRow& other) { return other.table == name; }))
        << "every_table in key_tables.cc lacks [" << name << "]";
  }
}

TEST(KeyTables, APageIsRefusedWhoseMarkersDoNotFit) {
  EXPECT_THAT(refusal("<!-- keys: gateway -->\n"), HasSubstr("before the page's end"));
  EXPECT_THAT(refusal("<!-- keys: gateway -->\n<!-- keys: red -->\n"), HasSubstr("before <!-- keys: red -->"));
  EXPECT_THAT(refusal("<!-- keys: gatway -->\n<!-- end -->\n"), HasSubstr("got <!-- keys: gatway -->"));
  EXPECT_THAT(refusal(replaced(documented_page(), "<!-- keys: red -->", "")), HasSubstr("a line <!-- keys: red -->"));
}

}  // namespace
}  // namespace sealcast::config
