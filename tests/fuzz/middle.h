// An attacker between two real ends that works on records: the input is a list of edits, each of one record, counted
// over both directions as they pass. Lengths around a change are corrected, so that the edits reach the parsers behind
// them. With `open` set, records are known to be unprotected (fuzz_open_pair).
#pragma once

#include <vector>

#include "handshake/record/record_layer.h"
#include "tests/fuzz/input.h"

namespace sealcast::handshake::fuzz {

struct Edit {
  std::uint8_t record;
  std::uint8_t action;
  std::uint16_t place;
  Bytes bytes;
};

inline std::vector<Edit> read_edits(sealcast::fuzz::Input& input) {
  std::vector<Edit> edits;
  while (!input.empty() && edits.size() < 16) {
    Edit edit{input.u8(), input.u8(), input.u16(), {}};
    edit.bytes = sealcast::fuzz::copy(input.short_block());
    edits.push_back(std::move(edit));
  }
  return edits;
}

class Middle {
 public:
  Middle(std::vector<Edit> edits, bool open) : edits_(std::move(edits)), open_(open) {}

  // The bytes that arrive after the edits. Ends send whole records.
  Bytes carry(const Bytes& sent, bool to_server) {
    Bytes out;
    ByteView rest = sent;
    while (rest.size() >= record_header_size) {
      const std::size_t size = record_header_size + load_be<std::uint16_t>(rest.data() + 3);
      sealcast::fuzz::require(size <= rest.size());
      pass(sealcast::fuzz::copy(rest.first(size)), to_server, out);
      rest = rest.subspan(size);
    }
    sealcast::fuzz::require(rest.empty());
    changed_ = changed_ || out != sent;
    return out;
  }
  bool changed() const { return changed_; }

 private:
  static void append(Bytes& out, const Bytes& more) { out.insert(out.end(), more.begin(), more.end()); }

  Bytes record(std::uint8_t type, ByteView content, bool is_protected) const {
    const std::size_t extra = is_protected ? record_overhead : 0;
    Bytes made = {type, 3, 3, 0, 0};
    made.resize(record_header_size + (is_protected ? gcm_explicit_nonce_size : 0));
    made.insert(made.end(), content.begin(), content.end());
    made.resize(record_header_size + extra + content.size());
    store_be<std::uint16_t>(made.data() + 3, static_cast<std::uint16_t>(made.size() - record_header_size));
    return made;
  }

  // Corrects the length of a single handshake message.
  static void mend(Bytes& content) {
    if (content.size() < 4) return;
    const std::size_t body = content.size() - 4;
    content[1] = static_cast<std::uint8_t>(body >> 16);
    content[2] = static_cast<std::uint8_t>(body >> 8);
    content[3] = static_cast<std::uint8_t>(body);
  }

  void pass(const Bytes& sent, bool to_server, Bytes& out) {
    const std::uint8_t type = sent[0];
    const bool opened = open_ && protected_[to_server] && sent.size() >= record_header_size + record_overhead;
    Bytes content(sent.begin() + record_header_size + (opened ? gcm_explicit_nonce_size : 0),
                  sent.end() - (opened ? static_cast<std::ptrdiff_t>(gcm_tag_size) : 0));
    const bool one_message =
        type == 22 && content.size() >= 4 && content.size() - 4 == (load_be<std::uint32_t>(content.data()) & 0xffffff);
    Bytes before;
    Bytes now = sent;
    Bytes after;
    for (const Edit& edit : edits_) {
      if (edit.record != count_) continue;
      const std::size_t place = content.empty() ? 0 : edit.place % content.size();
      const auto at = content.begin() + static_cast<std::ptrdiff_t>(place);
      switch (edit.action % 10) {
        case 0:  // other bytes
          for (std::size_t i = 0; i < edit.bytes.size() && place + i < content.size(); ++i)
            content[place + i] = static_cast<std::uint8_t>(content[place + i] ^ edit.bytes[i]);
          now = record(type, content, opened);
          break;
        case 1:
          now.clear();
          break;
        case 2:
          after = now;
          break;
        case 3:  // a record that no end sent
          append(before, edit.bytes);
          break;
        case 4:
          append(before, record(static_cast<std::uint8_t>(20 + edit.place % 4), edit.bytes, opened));
          break;
        case 5:
          content.insert(at, edit.bytes.begin(), edit.bytes.end());
          if (one_message) mend(content);
          now = record(type, content, opened);
          break;
        case 6:
          content.erase(at, at + static_cast<std::ptrdiff_t>(std::min(edit.bytes.size(), content.size() - place)));
          if (one_message) mend(content);
          now = record(type, content, opened);
          break;
        case 7: {  // in two records
          now = record(type, ByteView(content).first(place), opened);
          append(now, record(type, ByteView(content).subspan(place), opened));
          break;
        }
        case 8:  // behind the next one of this direction
          held_[to_server] = now;
          now.clear();
          break;
        default:  // another type, of the message or of the record
          if (!content.empty() && !edit.bytes.empty()) content[0] = edit.bytes[0];
          now = record((edit.place & 1) != 0 ? static_cast<std::uint8_t>(20 + edit.place / 2 % 4) : type, content,
                       opened);
      }
    }
    ++count_;
    if (type == 20) protected_[to_server] = true;  // under open protection a second change makes no difference
    append(out, before);
    append(out, now);
    append(out, after);
    if (!held_[to_server].empty() && !now.empty()) {
      append(out, held_[to_server]);
      held_[to_server].clear();
    }
  }

  std::vector<Edit> edits_;
  bool open_;
  bool changed_ = false;
  unsigned count_ = 0;
  bool protected_[2] = {false, false};
  Bytes held_[2];
};

}  // namespace sealcast::handshake::fuzz
