// The record layer (REC-1): a stream of honest records with the attacker's edits in it, protected or not, in pieces.
// The reader must deliver exactly what was written before the first edit; under protection it never delivers anything
// else.
#include "handshake/machine/message_joiner.h"
#include "handshake/record/record_layer.h"
#include "tests/fuzz/input.h"

namespace {

using namespace sealcast;             // NOLINT: a fuzzer of it
using namespace sealcast::handshake;  // NOLINT
using fuzz::Input;
using fuzz::require;

struct Written {
  std::uint8_t type;
  Bytes payload;
  std::size_t end;  // in the stream
};

struct Stream {
  Bytes bytes;
  std::vector<Written> records;
  std::size_t honest = ~std::size_t{0};  // bytes before the first edit
  void edited_at(std::size_t place) { honest = std::min(honest, place); }
};

void write(Stream& stream, RecordWriter& writer, std::uint8_t type, ByteView payload, bool is_protected) {
  const std::size_t overhead = is_protected ? record_overhead : 0;
  std::size_t end = stream.bytes.size();
  writer.write(ContentType{type}, payload, stream.bytes);
  do {
    const ByteView part = payload.first(std::min(payload.size(), max_plaintext));
    payload = payload.subspan(part.size());
    end += record_header_size + part.size() + overhead;
    stream.records.push_back({type, fuzz::copy(part), end});
  } while (!payload.empty());
  require(end == stream.bytes.size());
}

Stream make_stream(Input& input, RecordWriter& writer, bool is_protected) {
  Stream stream;
  while (!input.empty() && stream.bytes.size() < 200'000) {
    const std::uint8_t choice = input.u8();
    const auto type = static_cast<std::uint8_t>(20 + choice % 4);
    switch (choice / 4 % 8) {
      case 0:  // long: around the sizes at which fragments begin
        write(stream, writer, type, Bytes(input.u16() % 40'000, choice), is_protected);
        break;
      case 1: {  // what no peer sent
        const ByteView raw = input.short_block();
        stream.edited_at(stream.bytes.size());
        stream.bytes.insert(stream.bytes.end(), raw.begin(), raw.end());
        break;
      }
      case 2: {  // one byte changed
        if (stream.bytes.empty()) break;
        const std::size_t place = stream.bytes.size() - 1 - input.u16() % stream.bytes.size();
        const std::uint8_t change = input.u8();
        if (change == 0) break;
        stream.bytes[place] = static_cast<std::uint8_t>(stream.bytes[place] ^ change);
        stream.edited_at(place);
        break;
      }
      case 3: {  // the last record again, or lost
        if (stream.records.empty()) break;
        const std::size_t start = stream.records.size() < 2 ? 0 : stream.records[stream.records.size() - 2].end;
        if (start >= stream.bytes.size()) break;
        if (input.flag()) {
          const Bytes again(stream.bytes.begin() + static_cast<std::ptrdiff_t>(start), stream.bytes.end());
          stream.edited_at(stream.bytes.size());
          stream.bytes.insert(stream.bytes.end(), again.begin(), again.end());
        } else {
          stream.bytes.resize(start);
          stream.edited_at(start);
        }
        break;
      }
      default:
        write(stream, writer, type, input.short_block(), is_protected);
    }
  }
  return stream;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input input(data, size);
  const std::uint8_t options = input.u8();
  const bool is_protected = (options & 1) != 0;
  RecordReader reader;
  RecordWriter writer;
  if ((options & 2) != 0) reader.pin_version();
  if (is_protected) {
    DirectionKeys keys{SecretBytes((options & 4) != 0 ? 32 : 16), {}};
    std::fill_n(keys.key.data(), keys.key.size(), std::uint8_t{7});
    reader.install(keys, *MessageJoiner().aligned());
    writer.install(keys);
  }
  const std::size_t piece = 1 + input.u16() % 20'000;
  const Stream stream = make_stream(input, writer, is_protected);

  std::size_t delivered = 0;
  bool refused = false;
  for (std::size_t at = 0; at < stream.bytes.size() && !refused; at += piece) {
    ByteView part = ByteView(stream.bytes).subspan(at, std::min(piece, stream.bytes.size() - at));
    for (;;) {
      auto record = reader.next(part);
      if (!record) {
        refused = true;
        break;
      }
      if (!*record) {
        require(part.empty());
        break;
      }
      const ByteView payload = (*record)->payload;
      require(payload.size() <= max_plaintext);
      const bool is_honest = delivered < stream.records.size() && stream.records[delivered].end <= stream.honest;
      if (is_protected || is_honest) {
        require(delivered < stream.records.size());
        const Written& wanted = stream.records[delivered];
        require(static_cast<std::uint8_t>((*record)->type) == wanted.type &&
                std::equal(payload.begin(), payload.end(), wanted.payload.begin(), wanted.payload.end()));
      }
      ++delivered;
    }
  }
  // Of an honest stream, only empty records are ever refused.
  if (stream.honest > stream.bytes.size() && !refused) require(delivered == stream.records.size());
  if (stream.honest > stream.bytes.size() && refused) require(stream.records[delivered].payload.empty());
  return 0;
}
