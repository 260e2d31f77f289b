// Stands between two ends, has one end's random numbers, and reads all that passes: records, messages, and what is
// protected, with keys of its own derivation (docs/protocol.md "Keys", RFC 5246). Independent of the library on
// purpose.
#pragma once

#include <openssl/evp.h>

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "base/bytes.h"

namespace sealcast::witness {

struct Message {
  char from = 'C';         // 'C' or 'S'
  std::size_t flight = 0;  // counted from 1: what an end says before it listens
  std::string name;        // RFC 5246 §7.4, docs/protocol.md
  std::string protection;  // "clear", "first", "channel": the keys that opened it; "sealed": none did
  Bytes body;              // of a handshake message, without its header
  bool proved = false;     // Finished: its verify_data is what these keys and messages make
  std::string text() const { return std::string(1, from) + " " + name + " (" + protection + ")"; }
};

class Witness {
 public:
  // drawn: the client's random numbers, in order; it may grow. premaster: what the key server's group has. member_key:
  // the member's RSA key, or nullptr. All outlive the object but premaster.
  Witness(const std::vector<Bytes>& drawn, Bytes premaster, EVP_PKEY* member_key)
      : drawn_(drawn), premaster_(std::move(premaster)), member_key_(member_key) {}

  // What `from` has sent, in whole records.
  void pass(char from, ByteView bytes);

  const std::vector<Message>& messages() const { return messages_; }
  std::vector<std::string> order() const;
  // The nth message of that name, from 0; nullptr: there was none.
  const Message* find(const std::string& name, std::size_t nth = 0) const;
  // ServerHello's, and what ClientHello offered.
  std::uint16_t suite() const { return learned_.suite; }
  const std::vector<std::uint16_t>& offered() const { return learned_.offered; }
  // Of variant 1's SMKE: the premaster that the ciphertext held; empty: none was found.
  const Bytes& transported() const { return learned_.transported; }
  // AES key and salt of an SPI, from the premaster alone.
  Bytes sa_key(const std::string& group, std::uint64_t epoch, std::uint32_t spi) const;
  // Would the first exchange's keys have opened a record that the channel's opened?
  int opened_by_both() const { return opened_by_both_; }

 private:
  struct Keys {
    Bytes key, salt;
    std::uint64_t sequence = 0;
  };
  struct Direction {
    std::string protection = "clear";
    Keys keys;
    int changes = 0;
  };

  Bytes prf(ByteView secret, const std::string& label, ByteView seed, std::size_t size) const;
  Bytes hash() const;
  bool sha384() const { return learned_.suite == 0xc02c || learned_.suite == 0xc030 || learned_.suite == 0x009d; }
  std::size_t key_bytes() const { return sha384() ? 32 : 16; }
  Bytes group_master() const { return prf(premaster_, "multicast master secret", {}, 48); }
  void expand(const Bytes& master, Keys& client, Keys& server) const;
  bool open(Keys keys, std::uint8_t type, ByteView sealed, Bytes& out) const;
  void change_keys(char from);
  void read(char from, ByteView handshake);
  void read_client_hello(ByteView body);
  void read_client_key_exchange(ByteView body);
  void read_smke(ByteView body);

  // What the messages so far have told.
  struct Learned {
    Bytes client_random, server_random, server_point;
    Bytes first_master, channel_master, transported;
    std::uint16_t suite = 0;
    std::vector<std::uint16_t> offered;
    Keys first[2], channel[2];  // the client's, the server's
  };

  const std::vector<Bytes>& drawn_;
  Bytes premaster_;
  EVP_PKEY* member_key_;
  std::vector<Message> messages_;
  Bytes transcript_;
  Learned learned_;
  Direction directions_[2];
  std::size_t flight_ = 0;
  char speaker_ = ' ';
  int opened_by_both_ = 0;
};

}  // namespace sealcast::witness
