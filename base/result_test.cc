// SEALCAST_TRY and SEALCAST_TRY_ASSIGN: the error passes on unchanged, the value arrives, each step is evaluated once.
#include "base/result.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

namespace sealcast {
namespace {

// Steps of a function under test, in the order in which they were evaluated.
class Steps {
 public:
  Result<void> good(const std::string& name) {
    done_.push_back(name);
    return {};
  }
  Result<void> bad(const std::string& name) {
    done_.push_back(name);
    return fail(name + " went wrong");
  }
  Result<std::string> text(const std::string& name) {
    done_.push_back(name);
    return "text of " + name;
  }
  const std::vector<std::string>& done() const { return done_; }

 private:
  std::vector<std::string> done_;
};

using Names = std::vector<std::string>;

TEST(Try, AnErrorPassesOnUnchangedAndLaterStepsDoNotRun) {
  Steps steps;
  const auto run = [&]() -> Result<int> {
    SEALCAST_TRY(steps.good("first"));
    SEALCAST_TRY(steps.bad("second"));
    SEALCAST_TRY(steps.good("third"));
    return 1;
  };
  const auto result = run();
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().message, "second went wrong");
  EXPECT_EQ(steps.done(), (Names{"first", "second"}));
}

TEST(Try, AnErrorPassesOnInsteadOfAValue) {
  Steps steps;
  std::string held = "as before";
  const auto run = [&]() -> Result<void> {
    const auto step = [&]() -> Result<std::string> { return tl::unexpected(Error{"no text"}); };
    SEALCAST_TRY_ASSIGN(held, step());
    SEALCAST_TRY(steps.good("later"));
    return {};
  };
  const auto result = run();
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().message, "no text");
  EXPECT_EQ(held, "as before");
  EXPECT_TRUE(steps.done().empty());
}

TEST(Try, ValuesArriveFromStepsThatAreEvaluatedOnce) {
  Steps steps;
  std::string held;
  const auto run = [&]() -> Result<std::string> {
    SEALCAST_TRY(steps.text("dropped"));
    SEALCAST_TRY_ASSIGN(const auto one, steps.text("one"));
    SEALCAST_TRY_ASSIGN(std::string two, steps.text("two"));
    SEALCAST_TRY_ASSIGN(held, steps.text("three"));
    return one + ", " + two;
  };
  EXPECT_EQ(run().value(), "text of one, text of two");
  EXPECT_EQ(held, "text of three");
  EXPECT_EQ(steps.done(), (Names{"dropped", "one", "two", "three"}));
}

TEST(Try, AValueThatCanOnlyBeMovedArrives) {
  const auto step = []() -> Result<std::unique_ptr<int>> { return std::make_unique<int>(7); };
  const auto run = [&]() -> Result<std::unique_ptr<int>> {
    SEALCAST_TRY_ASSIGN(auto value, step());
    return value;
  };
  EXPECT_EQ(**run(), 7);
}

TEST(Try, AnExpressionMayHoldCommas) {
  const auto step = [](const Names& names) -> Result<std::pair<std::size_t, bool>> {
    return std::pair{names.size(), names.empty()};
  };
  const auto run = [&]() -> Result<std::size_t> {
    SEALCAST_TRY(step(Names{"one", "two"}));
    SEALCAST_TRY_ASSIGN(auto seen, step(Names{"one", "two"}));
    return seen.first;
  };
  EXPECT_EQ(run().value(), 2u);
}

TEST(Try, StandsAloneInABranch) {
  Steps steps;
  const auto run = [&](bool first) -> Result<void> {
    if (first)
      SEALCAST_TRY(steps.bad("first"));
    else
      SEALCAST_TRY(steps.good("second"));
    return {};
  };
  EXPECT_FALSE(run(true).has_value());
  EXPECT_TRUE(run(false).has_value());
  EXPECT_EQ(steps.done(), (Names{"first", "second"}));
}

// As in handshake/, where an error names its alert.
TEST(Try, AnErrorMayBeOfAnotherType) {
  struct Numbered {
    int number;
  };
  const auto step = [](bool good) -> tl::expected<std::string, Numbered> {
    if (good) return "good";
    return tl::unexpected(Numbered{42});
  };
  const auto run = [&](bool good) -> tl::expected<std::size_t, Numbered> {
    SEALCAST_TRY(step(true));
    SEALCAST_TRY_ASSIGN(const auto text, step(good));
    return text.size();
  };
  EXPECT_EQ(run(true).value(), 4u);
  EXPECT_EQ(run(false).error().number, 42);
}

}  // namespace
}  // namespace sealcast
