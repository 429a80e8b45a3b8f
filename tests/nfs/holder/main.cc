// holder: keeps every n-th packet in its held area, and releases all it holds now and then.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>

#include "nf_lib/nf.h"

namespace {

class Holder final : public hb::NetworkFunction {
 public:
  void add_options(CLI::App& app) override {
    app.add_option("--every", every_, "hold every n-th packet")->check(CLI::Range(1, 1 << 30));
    app.add_option("--release", release_, "when to release: tick | flush | burst | never")
        ->check(CLI::IsMember({"tick", "flush", "burst", "never"}));
  }

  hb::Result<void> setup(hb::NfContext& context) override {
    context_ = &context;
    return {};
  }

  void process_burst(std::span<rte_mbuf* const> burst,
                     std::span<hb::Verdict> verdicts) noexcept override {
    if (release_ == "burst") release_all();
    for (std::size_t i = 0; i < burst.size(); ++i) {
      verdicts[i] = hb::Verdict::next();
      if (++seen_ % every_ != 0) continue;
      verdicts[i] = hb::Verdict::hold();
      // What does not fit into the held area is dropped by the platform.
      if (n_held_ < held_.size()) held_[n_held_++] = burst[i];
    }
  }

  void tick(std::uint64_t /*now_ns*/) noexcept override {
    if (release_ == "tick") release_all();
  }

  void flush() noexcept override {
    if (release_ != "never") release_all();
  }

 private:
  void release_all() noexcept {
    constexpr std::array<hb::Verdict, hb::kHeldSlots> kNext{};
    context_->release(std::span(held_.data(), n_held_), std::span(kNext.data(), n_held_));
    n_held_ = 0;
  }

  std::uint64_t every_ = 10;
  std::string release_ = "flush";
  hb::NfContext* context_ = nullptr;
  std::uint64_t seen_ = 0;
  std::array<rte_mbuf*, hb::kHeldSlots> held_{};
  std::size_t n_held_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  return hb::nf_main<Holder>(argc, argv,
                             {.name = "holder",
                              .summary = "test only: holds every n-th packet for a while",
                              .tick_every_us = 500});
}
