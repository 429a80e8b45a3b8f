// source: makes packets of its own, numbered from 0, and passes on what comes in.
#include <rte_byteorder.h>
#include <rte_ip.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cstring>

#include "nf_lib/nf.h"

namespace {

constexpr std::uint32_t kNumberOffset = 14;
constexpr std::uint32_t kIpv4Bytes = 20;

class Source final : public hb::NetworkFunction {
 public:
  void add_options(CLI::App& app) override {
    app.add_option("--count", count_, "packets to make in all");
    app.add_option("--bytes", bytes_, "bytes of each")->check(CLI::Range(22, 1500));
    app.add_option("--at-once", at_once_, "packets of a burst")->check(CLI::Range(1u, 64u));
    app.add_flag("--ipv4", ipv4_, "an IPv4 packet in each, its number behind the header");
  }

  hb::Result<void> setup(hb::NfContext& context) override {
    context_ = &context;
    return {};
  }

  void process_burst(std::span<rte_mbuf* const> /*burst*/,
                     std::span<hb::Verdict> verdicts) noexcept override {
    std::ranges::fill(verdicts, hb::Verdict::next());
    make_some();
  }

  void tick(std::uint64_t /*now_ns*/) noexcept override { make_some(); }

  // A file port drains: whatever has not been made yet is made now.
  void flush() noexcept override {
    while (made_ < count_ && make_some() != 0) continue;
  }

 private:
  std::uint32_t make_some() noexcept {
    std::array<rte_mbuf*, hb::kMaxBurst> fresh;
    const auto wanted = std::min<std::uint64_t>(at_once_, count_ - made_);
    const std::uint32_t n = context_->originate(std::span(fresh.data(), wanted));
    for (std::uint32_t i = 0; i < n; ++i) {
      auto* const bytes = reinterpret_cast<std::uint8_t*>(rte_pktmbuf_append(fresh[i], bytes_));
      std::memset(bytes, 0, bytes_);
      bytes[0] = 0x02;
      bytes[12] = 0x88;  // ethertype 88b5: local experiments
      bytes[13] = 0xb5;
      if (ipv4_) write_ipv4(bytes + 12);
      const std::uint64_t number = rte_cpu_to_be_64(made_++);
      std::memcpy(bytes + kNumberOffset + (ipv4_ ? kIpv4Bytes : 0), &number, sizeof(number));
    }
    constexpr std::array<hb::Verdict, hb::kMaxBurst> kNext{};
    if (n != 0) context_->send_originated(std::span(kNext.data(), n));
    return n;
  }

  /// From 10.1.0.1 to 10.2.0.1, protocol 253: experiments too (RFC 3692).
  void write_ipv4(std::uint8_t* ethertype) const noexcept {
    ethertype[0] = 0x08;
    ethertype[1] = 0x00;
    std::uint8_t* const ip = ethertype + 2;
    const std::array<std::uint8_t, kIpv4Bytes> header = {0x45, 0, 0,  0, 0, 0, 0x40, 0, 64, 253,
                                                         0,    0, 10, 1, 0, 1, 10,   2, 0,  1};
    std::memcpy(ip, header.data(), header.size());
    const std::uint16_t length = rte_cpu_to_be_16(static_cast<std::uint16_t>(bytes_ - 14));
    std::memcpy(ip + 2, &length, sizeof(length));
    const std::uint16_t sum = rte_ipv4_cksum(reinterpret_cast<const rte_ipv4_hdr*>(ip));
    std::memcpy(ip + 10, &sum, sizeof(sum));
  }

  bool ipv4_ = false;
  std::uint32_t at_once_ = hb::kMaxBurst;
  std::uint64_t count_ = 1000;
  std::uint16_t bytes_ = 60;
  hb::NfContext* context_ = nullptr;
  std::uint64_t made_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  return hb::nf_main<Source>(argc, argv,
                             {.name = "source",
                              .summary = "test only: makes packets of its own",
                              .tick_every_us = 200,
                              .originates = true});
}
