// The questions of several groups over one connection, as one: all of a turn of the loop leave together, and one answer
// answers them all. No socket and no clock.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

namespace sealcast::member {

template <typename Asker>
class SharedKeepalives {
 public:
  // asker asks with its own number; nullptr: only the connection itself wants to know. True: it is the first of this
  // turn, and take_next() is to be called at the turn's end.
  bool add(const std::shared_ptr<Asker>& asker, std::uint64_t number) {
    const bool first = next_.number == 0;
    next_.number = next();
    if (asker) next_.of.emplace_back(asker, number);
    return first;
  }
  // The connection's number to ask with now; nothing: no question waits. `open`: false forgets what waits.
  std::optional<std::uint64_t> take_next(bool open) {
    Question question = std::exchange(next_, {});
    if (!open || question.number == 0) return std::nullopt;
    sent_ = question.number;
    if (asked_.size() == most_asked) asked_.pop_front();  // a later answer proves more
    asked_.push_back(std::move(question));
    return sent_;
  }

  std::uint64_t sent() const { return sent_; }
  std::uint64_t next() const { return sent_ + 1; }  // of the next question

  // An answer to the connection's number answers all questions up to it: those that asked and still live, each with its
  // own number. Nothing: no such number was sent.
  std::optional<std::vector<std::pair<std::shared_ptr<Asker>, std::uint64_t>>> answered(std::uint64_t number) {
    if (number > sent_) return std::nullopt;
    std::vector<std::pair<std::shared_ptr<Asker>, std::uint64_t>> out;
    for (; !asked_.empty() && asked_.front().number <= number; asked_.pop_front())
      for (const auto& [weak, own] : asked_.front().of)
        if (auto asker = weak.lock()) out.emplace_back(std::move(asker), own);
    return out;
  }

 private:
  static constexpr std::size_t most_asked = 64;  // without an answer so far
  struct Question {
    std::uint64_t number = 0;
    std::vector<std::pair<std::weak_ptr<Asker>, std::uint64_t>> of;  // with their own numbers
  };
  std::uint64_t sent_ = 0;
  std::deque<Question> asked_;
  Question next_;  // gathered in this turn
};

}  // namespace sealcast::member
