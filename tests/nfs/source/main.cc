// source: makes packets of its own, numbered from 0, and passes on what comes in.
#include <rte_byteorder.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cstring>

#include "nf_lib/nf.h"

namespace {

constexpr std::uint32_t kNumberOffset = 14;

class Source final : public hb::NetworkFunction {
 public:
  void add_options(CLI::App& app) override {
    app.add_option("--count", count_, "packets to make in all");
    app.add_option("--bytes", bytes_, "bytes of each")->check(CLI::Range(22, 1500));
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
    const auto wanted = std::min<std::uint64_t>(fresh.size(), count_ - made_);
    const std::uint32_t n = context_->originate(std::span(fresh.data(), wanted));
    for (std::uint32_t i = 0; i < n; ++i) {
      auto* const bytes = reinterpret_cast<std::uint8_t*>(rte_pktmbuf_append(fresh[i], bytes_));
      std::memset(bytes, 0, bytes_);
      bytes[0] = 0x02;
      bytes[12] = 0x88;  // ethertype 88b5: local experiments
      bytes[13] = 0xb5;
      const std::uint64_t number = rte_cpu_to_be_64(made_++);
      std::memcpy(bytes + kNumberOffset, &number, sizeof(number));
    }
    constexpr std::array<hb::Verdict, hb::kMaxBurst> kNext{};
    if (n != 0) context_->send_originated(std::span(kNext.data(), n));
    return n;
  }

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
