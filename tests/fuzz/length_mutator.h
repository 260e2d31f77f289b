// A mutator for length-prefixed vectors: when libFuzzer's own mutations change a vector's size, its
// length and those of the vectors around it nearly always end up wrong and the parser stops there. This one inserts or
// removes bytes within a vector and corrects every length field that covers the place.
//
// It knows no layout: any 1, 2 or 3 bytes are a length field if their value reaches no further than the input's end.
#pragma once

#ifdef SEALCAST_FUZZ

#include <cstring>
#include <random>
#include <vector>

#include "tests/fuzz/input.h"

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t max_size);

namespace sealcast::fuzz {

struct LengthField {
  std::size_t at;
  std::size_t width;
  std::size_t value;
  std::size_t begin() const { return at + width; }
  std::size_t end() const { return at + width + value; }
};

inline std::size_t read_length(const std::uint8_t* at, std::size_t width) {
  std::size_t value = 0;
  for (std::size_t i = 0; i < width; ++i)
    value = (value << 8) | at[i];
  return value;
}

// Length fields of vectors that contain the place; first is where lengths may begin.
inline std::vector<LengthField> fields_around(const std::uint8_t* data, std::size_t size, std::size_t first,
                                              std::size_t place) {
  std::vector<LengthField> fields;
  for (std::size_t at = first; at < place; ++at)
    for (const std::size_t width : {std::size_t{3}, std::size_t{2}, std::size_t{1}}) {
      if (at + width > place) continue;
      const LengthField field{at, width, read_length(data + at, width)};
      if (field.value == 0 || field.end() > size || field.end() < place) continue;
      fields.push_back(field);
      break;  // the widest reading of a place
    }
  return fields;
}

// Inserts (bytes made by libFuzzer) or removes up to 32 bytes at a place within a vector.
inline std::size_t resize_within(std::uint8_t* data, std::size_t size, std::size_t max_size, std::size_t first,
                                 std::minstd_rand& random) {
  if (size < first + 3) return size;
  const std::size_t place = first + 1 + random() % (size - first);
  const auto fields = fields_around(data, size, first, place);
  if (fields.empty()) return size;
  const LengthField innermost = fields.back();
  const bool insert = random() % 2 == 0;
  std::size_t count = 1 + random() % (random() % 4 == 0 ? 32 : 4);
  if (insert) {
    count = std::min(count, max_size - size);
    std::memmove(data + place + count, data + place, size - place);
    for (std::size_t i = 0; i < count; ++i)
      data[place + i] = static_cast<std::uint8_t>(random());
  } else {
    count = std::min(count, innermost.end() - place);
    std::memmove(data + place, data + place + count, size - place - count);
  }
  for (const LengthField& field : fields) {
    const std::size_t value = insert ? field.value + count : field.value - std::min(field.value, count);
    // Not every candidate is a length; leaving some unchanged finds the real ones.
    if (field.at != innermost.at && random() % 4 == 0) continue;
    for (std::size_t i = 0; i < field.width; ++i)
      data[field.at + i] = static_cast<std::uint8_t>(value >> (8 * (field.width - 1 - i)));
  }
  return insert ? size + count : size - count;
}

// For LLVMFuzzerCustomMutator; first: the bytes before it are not part of the message.
inline std::size_t mutate_lengths(std::uint8_t* data, std::size_t size, std::size_t max_size, unsigned seed,
                                  std::size_t first) {
  std::minstd_rand random(seed);
  if (random() % 2 == 0) return LLVMFuzzerMutate(data, size, max_size);
  for (std::size_t n = 1 + random() % 3; n > 0; --n)
    size = resize_within(data, size, max_size, first, random);
  return size;
}

}  // namespace sealcast::fuzz

#define SEALCAST_LENGTH_MUTATOR(first)                                                                       \
  extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size, \
                                                 unsigned seed) {                                            \
    return sealcast::fuzz::mutate_lengths(data, size, max_size, seed, first);                                \
  }

#else
#define SEALCAST_LENGTH_MUTATOR(first)
#endif
