#include "app/cli/table.h"

#include <gtest/gtest.h>

namespace sealcast::cli {
namespace {

TEST(Table, AlignsByCharactersAndLeavesNoTrailingBlanks) {
  Table table({{"name"}, {"packets", Align::right}, {"last"}});
  table.row({"Kü", "1", ""});
  table.row({"studio", "1,000,000", "x"});
  EXPECT_EQ(table.text(2),
            "  name      packets  last\n"
            "  Kü              1\n"
            "  studio  1,000,000  x\n");
}

TEST(Table, AWideCharacterTakesTwoColumns) {
  Table table({{"name"}, {"n", Align::right}});
  table.row({"演播室", "1"});
  table.row({"studio", "10"});
  EXPECT_EQ(table.text(),
            "name     n\n"
            "演播室   1\n"
            "studio  10\n");
}

TEST(Table, ShowsEverythingAsItIs) {
  const std::string longest(500, 'x');
  Table table({{"path"}, {"", Align::right}, {"rest"}});
  table.row({"C:\\x41", "", longest});
  table.row({longest});
  table.row({"\x1b[2J", "", "", "dropped"});
  EXPECT_EQ(table.text(), "path" + std::string(500, ' ') + "rest\n" + "C:\\x41" + std::string(498, ' ') + longest +
                              "\n" + longest + "\n" + "?[2J\n");
}

TEST(Table, EndsWithTextThatIsNoUtf8) {
  Table table({{"name"}, {"n", Align::right}});
  table.row({"a\xff", "1"});
  table.row({"\xc3", "2"});
  EXPECT_EQ(table.text(),
            "name   n\n"
            "a\\xff  1\n"
            "\\xc3   2\n");
}

TEST(Table, WithoutRowsTheTitlesAreLeft) {
  const Table table({{"name"}, {"packets", Align::right}});
  EXPECT_EQ(table.text(1), " name  packets\n");
}

TEST(Text, ControlCharactersGoAway) {
  EXPECT_EQ(clean("a\x1b[2Jb\r\n\x7f"), "a?[2Jb???");
  EXPECT_EQ(clean("caf\xc3\xa9 \xc2\x9b"
                  "31m"),
            "caf\xc3\xa9 ?31m");
}

TEST(Text, NumbersAsPeopleReadThem) {
  EXPECT_EQ(count(0), "0");
  EXPECT_EQ(count(999), "999");
  EXPECT_EQ(count(1000), "1,000");
  EXPECT_EQ(count(~0ull), "18,446,744,073,709,551,615");
  EXPECT_EQ(bytes_text(999), "999 B");
  EXPECT_EQ(bytes_text(1000), "1.00 kB");
  EXPECT_EQ(bytes_text(12'345'678), "12.3 MB");
  EXPECT_EQ(bytes_text(999'600), "1.00 MB");
  EXPECT_EQ(duration(0), "0 s");
  EXPECT_EQ(duration(59), "59 s");
  EXPECT_EQ(duration(61), "1 min 1 s");
  EXPECT_EQ(duration(86399), "23 h 59 min");
  EXPECT_EQ(duration(86400 * 3 + 3600), "3 d 1 h");
  EXPECT_EQ(duration(-5), "-5 s");
}

}  // namespace
}  // namespace sealcast::cli
