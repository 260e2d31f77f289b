// Ordinary programs that send and receive one multicast stream, for tests of gateways.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

#include "base/bytes.h"
#include "tests/wire/network.h"

namespace sealcast::wire {

inline sockaddr_in group_address() {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(5000);
  address.sin_addr.s_addr = inet_addr("239.1.1.7");
  return address;
}

// Sends numbered datagrams from a namespace, one every gap, until stopped.
class Sender {
 public:
  Sender(const Namespace& there, const char* own_address, std::chrono::microseconds gap, std::size_t bytes = 1316)
      : socket_(there.udp_socket()) {
    in_addr interface { inet_addr(own_address) };
    ::setsockopt(socket_, IPPROTO_IP, IP_MULTICAST_IF, &interface, sizeof(interface));
    thread_ = std::thread([this, gap, bytes] {
      std::vector<std::uint8_t> payload(bytes, 0x5a);
      const sockaddr_in to = group_address();
      auto next = std::chrono::steady_clock::now();
      while (!stop_) {
        store_be<std::uint64_t>(payload.data(), sent_ + 1);
        if (::sendto(socket_, payload.data(), payload.size(), 0, reinterpret_cast<const sockaddr*>(&to), sizeof(to)) >
            0)
          ++sent_;
        std::this_thread::sleep_until(next += gap);
      }
    });
  }
  ~Sender() {
    stop();
    ::close(socket_);
  }
  std::uint64_t stop() {
    stop_ = true;
    if (thread_.joinable()) thread_.join();
    return sent_;
  }
  std::uint64_t sent() const { return sent_; }

 private:
  int socket_;
  std::atomic<bool> stop_{false};
  std::atomic<std::uint64_t> sent_{0};
  std::thread thread_;
};

// Joins the group in a namespace and records which datagrams came.
class Receiver {
 public:
  Receiver(const Namespace& there, const char* own_address) : socket_(there.udp_socket()) {
    const int yes = 1;
    ::setsockopt(socket_, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    const int large = 8 << 20;
    ::setsockopt(socket_, SOL_SOCKET, SO_RCVBUFFORCE, &large, sizeof(large));
    sockaddr_in any = group_address();
    EXPECT_EQ(::bind(socket_, reinterpret_cast<const sockaddr*>(&any), sizeof(any)), 0);
    const ip_mreq join{{inet_addr("239.1.1.7")}, {inet_addr(own_address)}};
    EXPECT_EQ(::setsockopt(socket_, IPPROTO_IP, IP_ADD_MEMBERSHIP, &join, sizeof(join)), 0);
    const timeval patience{0, 20'000};
    ::setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    thread_ = std::thread([this] {
      std::vector<std::uint8_t> payload(2048);
      while (!stop_) {
        const ssize_t n = ::recv(socket_, payload.data(), payload.size(), 0);
        if (n < 8) continue;
        const bool whole = std::all_of(payload.begin() + 8, payload.begin() + n, [](auto b) { return b == 0x5a; });
        const std::lock_guard lock(mutex_);
        if (!whole) ++damaged_;
        numbers_.insert(load_be<std::uint64_t>(payload.data()));
        ++total_;
      }
    });
  }
  ~Receiver() {
    stop_ = true;
    thread_.join();
    ::close(socket_);
  }
  std::uint64_t distinct() const {
    const std::lock_guard lock(mutex_);
    return numbers_.size();
  }
  std::uint64_t total() const {
    const std::lock_guard lock(mutex_);
    return total_;
  }
  std::uint64_t damaged() const {
    const std::lock_guard lock(mutex_);
    return damaged_;
  }

 private:
  int socket_;
  std::atomic<bool> stop_{false};
  mutable std::mutex mutex_;
  std::set<std::uint64_t> numbers_;
  std::uint64_t total_ = 0, damaged_ = 0;
  std::thread thread_;
};

}  // namespace sealcast::wire
