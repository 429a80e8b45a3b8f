// Runs an NF's bursts one instruction at a time, and asks at each of them: if the process died
// here, would the manager account for every packet?
#pragma once

#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <functional>
#include <optional>
#include <ostream>
#include <string>
#include <tuple>
#include <vector>

#include "manager/recovery.h"
#include "nf_lib/burst_loop.h"
#include "tests/unit/planned_nf.h"
#include "tests/unit/small_platform.h"

namespace hb::test {

/// One thing that an NF does, at the end of which it has nothing to do.
struct CrashScenario {
  std::string name;
  /// Fills rings; the loop and the NF are there, so it may let them run to get packets held.
  std::function<void(SmallPlatform&, BurstLoop&, PlannedNf&)> prepare;
  SmallOptions options = {};
  NfPlan nf = {};
  /// The NF writes ledger and held area into a page that recovery does not see. The test of the
  /// test: it must be found out.
  bool hide_page = false;
  /// What was in hand is left for the successor.
  bool idempotent = false;
};
inline void PrintTo(const CrashScenario& scenario, std::ostream* out) { *out << scenario.name; }

struct CrashReport {
  std::uint64_t n_steps = 0;         ///< instructions executed
  std::uint64_t n_points = 0;        ///< states of the shared memory that were recovered from
  std::uint64_t n_lost = 0;          ///< packets found nowhere, over all points
  std::uint64_t n_twice = 0;         ///< packets found in two places, over all points
  std::uint64_t n_wrong = 0;         ///< other findings: order, reasons, rings in disorder
  std::uint64_t most_recovered = 0;  ///< packets that one recovery took out of the dead one's hands
  std::string first_error;
  bool traceable = true;  ///< false: this process may not trace its child
  [[nodiscard]] bool clean() const { return n_lost == 0 && n_twice == 0 && n_wrong == 0; }
};

class CrashWorld {
 public:
  explicit CrashWorld(const CrashScenario& scenario)
      : scenario_(scenario), platform_(scenario.options), nf_(scenario.nf) {
    manager_.view = platform_.view;
    phase_ = static_cast<std::atomic<Phase>*>(mmap(
        nullptr, SmallPlatform::kPage, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    ContextPage* const page = scenario.hide_page ? &hidden_page_ : platform_.page();
    loop_.emplace(platform_.view, page, SmallPlatform::kNf, SmallPlatform::kNfEndpoint,
                  SmallPlatform::kService, SmallPlatform::kInstance);
    nf_.use(*loop_);
    scenario_.prepare(platform_, *loop_, nf_);
    start_ = memory();
    before_ = look();
  }
  ~CrashWorld() { munmap(phase_, SmallPlatform::kPage); }
  CrashWorld(const CrashWorld&) = delete;
  CrashWorld& operator=(const CrashWorld&) = delete;

  /// Steps one process through the whole scenario; whenever it has changed shared memory, recovers
  /// from what it has left there so far, checks, and puts the memory back.
  CrashReport recover_at_every_step() {
    CrashReport report;
    run_to_the_end();
    const int child = start_child(report);
    std::vector<std::byte> last;
    while (report.traceable && *phase_ != Phase::kDone && step(child)) {
      ++report.n_steps;
      if (*phase_ != Phase::kRunning) continue;
      if (last.size() == platform_.shared_bytes() &&
          std::memcmp(last.data(), platform_.shared(), last.size()) == 0)
        continue;
      last = memory();
      recover_and_check(report);
      put_back(last);
    }
    end_child(child);
    if (report.traceable && *phase_ != Phase::kDone)
      wrong(report, &CrashReport::n_wrong, "the NF did not come to its end");
    recover_and_check(report);  // it died when all was done
    put_back(start_);
    return report;
  }

  /// Kills so many processes with SIGKILL, evenly spread over the scenario, and recovers from each.
  CrashReport kill_for_real(std::uint32_t n_kills) {
    CrashReport report;
    run_to_the_end();
    const std::uint64_t n_steps = run_steps(~std::uint64_t{0}, report);
    put_back(start_);
    for (std::uint32_t i = 1; i <= n_kills && report.traceable; ++i) {
      report.n_steps += run_steps(n_steps * i / (n_kills + 1), report);
      recover_and_check(report);
      put_back(start_);
    }
    return report;
  }

 private:
  enum class Phase : std::uint32_t { kStarting, kRunning, kDone };
  /// By ring id, the packets that wait there.
  using Picture = std::vector<std::vector<std::uint32_t>>;

  [[nodiscard]] Picture look() const {
    Picture picture;
    for (std::uint32_t id = 0; id < platform_.view.region.n_rings(); ++id)
      picture.push_back(platform_.contents(platform_.view.region.ring(RingId(id))));
    return picture;
  }
  [[nodiscard]] std::vector<std::byte> memory() const {
    return {platform_.shared(), platform_.shared() + platform_.shared_bytes()};
  }
  void put_back(const std::vector<std::byte>& memory) {
    std::memcpy(platform_.shared(), memory.data(), memory.size());
  }

  // --- processes ---
  [[noreturn]] void be_the_nf() {
    *phase_ = Phase::kRunning;
    while (loop_->poll(nf_) != 0) {
    }
    *phase_ = Phase::kDone;
    _exit(0);
  }
  /// What the NF does when nobody kills it is what each crash is measured against.
  void run_to_the_end() {
    const int child = fork();
    if (child == 0) be_the_nf();
    waitpid(child, nullptr, 0);
    after_ = look();
    put_back(start_);
  }
  /// Forks a process that is about to be the NF, stopped and traced.
  int start_child(CrashReport& report) {
    *phase_ = Phase::kStarting;
    const int child = fork();
    if (child == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) _exit(1);
      raise(SIGSTOP);
      be_the_nf();
    }
    int status = 0;
    waitpid(child, &status, 0);
    report.traceable = WIFSTOPPED(status);
    return report.traceable ? child : 0;
  }
  /// One instruction of the child. @return false when it has ended, or is about to by a signal
  static bool step(int child) {
    int status = 0;
    return ptrace(PTRACE_SINGLESTEP, child, nullptr, nullptr) == 0 &&
           waitpid(child, &status, 0) == child && WIFSTOPPED(status) && WSTOPSIG(status) == SIGTRAP;
  }
  /// Runs a process for n instructions, or to its end, and kills it.
  /// @return instructions of the NF executed
  std::uint64_t run_steps(std::uint64_t n, CrashReport& report) {
    const int child = start_child(report);
    std::uint64_t steps = 0;
    while (report.traceable && steps < n && *phase_ != Phase::kDone && step(child))
      steps += *phase_ == Phase::kRunning;
    if (report.traceable && steps < n && *phase_ != Phase::kDone)
      wrong(report, &CrashReport::n_wrong, "the NF did not come to its end");
    end_child(child);
    return steps;
  }
  static void end_child(int child) {
    if (child == 0) return;
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
  }

  // --- judging one crash ---
  static constexpr auto kLost = static_cast<std::uint8_t>(DropReason::kLostInCrash);

  void recover_and_check(CrashReport& report) {
    ++report.n_points;
    Recovery recovery(manager_);
    const DeadContext dead{.context = SmallPlatform::kNf,
                           .page = platform_.page(),
                           .endpoints = {SmallPlatform::kNfEndpoint},
                           .work_groups = {},
                           .keep_windows = scenario_.idempotent};
    const std::uint64_t n =
        recovery.recover(dead, SmallPlatform::kInstance.value, DropReason::kLostInCrash);
    report.most_recovered = std::max(report.most_recovered, n);
    const Picture now = look();
    count_places(now, {}, report);
    check_order(now, report);
    check_lost(now, n, report);
    check_rings(report);
    check_successor(report);
  }

  void wrong(CrashReport& report, std::uint64_t CrashReport::*counter,
             const std::string& what) const {
    ++(report.*counter);
    if (report.first_error.empty())
      report.first_error = fmt::format("{}, step {}: {}", scenario_.name, report.n_steps, what);
  }

  /// Every packet that was anywhere at the start is in one place, and no other is anywhere.
  void count_places(const Picture& now, const std::vector<rte_mbuf*>& held,
                    CrashReport& report) const {
    std::vector<int> places(platform_.n_packets());
    std::vector<bool> in_play(platform_.n_packets());
    for (const auto& ring : before_)
      for (const std::uint32_t packet : ring)
        if (packet != PacketCheck::kNotAPacket) in_play[packet] = true;
    for (std::uint32_t i = 0; i < kHeldSlots; ++i) {
      const ContextPage& page = *reinterpret_cast<const ContextPage*>(
          start_.data() + (reinterpret_cast<std::byte*>(platform_.page()) - platform_.shared()));
      const std::uint32_t packet = platform_.view.check.number(
          reinterpret_cast<const void*>(page.held[i].load(std::memory_order_relaxed)));
      if (packet != PacketCheck::kNotAPacket) in_play[packet] = true;
    }
    for (const auto& ring : now)
      for (const std::uint32_t packet : ring)
        if (packet != PacketCheck::kNotAPacket) ++places[packet];
    for (const rte_mbuf* const mbuf : held) ++places[platform_.view.check.number(mbuf)];
    for (std::uint32_t packet = 0; packet < places.size(); ++packet) {
      if (in_play[packet] && places[packet] == 0)
        wrong(report, &CrashReport::n_lost, fmt::format("packet {} is nowhere", packet));
      if (places[packet] > 1)
        wrong(report, &CrashReport::n_twice, fmt::format("packet {} is in two places", packet));
      if (!in_play[packet] && places[packet] != 0)
        wrong(report, &CrashReport::n_wrong, fmt::format("packet {} was never sent", packet));
    }
  }

  /// What the dead NF sent is the beginning of what it would have sent; what it did not take is the
  /// end of what waited for it. What an idempotent one leaves is in the order in which it came.
  void check_order(const Picture& now, CrashReport& report) const {
    for (std::uint32_t id = 0; id < now.size(); ++id) {
      const std::uint32_t context = id % platform_.view.region.layout().n_contexts;
      if (id == manager_lost_.value) continue;
      const auto& [shorter, longer] = std::tie(now[id], is_source(id) ? before_[id] : after_[id]);
      if (is_source(id) && scenario_.idempotent) {
        check_subsequence(before_[id], now[id], report);
        continue;
      }
      const bool good =
          shorter.size() <= longer.size() &&
          (is_source(id) ? std::equal(shorter.rbegin(), shorter.rend(), longer.rbegin())
                         : std::equal(shorter.begin(), shorter.end(), longer.begin()));
      if (!good)
        wrong(report, &CrashReport::n_wrong,
              fmt::format("ring {} of context {} holds {}, not part of {}", id, context,
                          fmt::join(shorter, " "), fmt::join(longer, " ")));
    }
  }

  /// What recovery took says so, is counted, and is no more than a burst and what was held.
  void check_lost(const Picture& now, std::uint64_t n_recovered, CrashReport& report) const {
    if (now[manager_lost_.value].size() != n_recovered)
      wrong(report, &CrashReport::n_wrong, fmt::format("{} packets said to be lost", n_recovered));
    for (std::uint32_t id = 0; id < 4; ++id) {  // the reclaimer's rings, one for each context
      for (const std::uint32_t packet : now[id]) {
        const PacketMeta& meta = packet_meta(platform_.packet(packet));
        if ((meta.drop_reason == kLost) != (id == manager_lost_.value) ||
            (meta.drop_reason == kLost && meta.drop_service != SmallPlatform::kInstance.value))
          wrong(report, &CrashReport::n_wrong,
                fmt::format("packet {} in ring {} has reason {}", packet, id, meta.drop_reason));
      }
    }
  }

  void check_rings(CrashReport& report) const {
    for (std::uint32_t id = 0; id < platform_.view.region.n_rings(); ++id) {
      const rte_ring* const ring = platform_.view.region.ring(RingId(id));
      if (ring->prod.head != ring->prod.tail || ring->cons.head != ring->cons.tail)
        wrong(report, &CrashReport::n_wrong, fmt::format("ring {} is in disorder", id));
    }
  }

  /// A new process in the dead one's place takes all that waits, and still nothing is lost.
  void check_successor(CrashReport& report) const {
    const auto page = std::make_unique<ContextPage>();
    BurstLoop loop(platform_.view, page.get(), SmallPlatform::kNf, SmallPlatform::kNfEndpoint,
                   SmallPlatform::kService, SmallPlatform::kInstance);
    PlannedNf nf({.originate_in_burst = 1, .n_originated = 2});
    nf.use(loop);
    for (int polls = 0; polls < 100 && loop.poll(nf) != 0; ++polls) {
    }
    const Picture now = look();
    count_places(now, nf.held(), report);
    for (std::uint32_t from = 0; from < 4; ++from) {
      const RingId source =
          platform_.view.region.ring_id(SmallPlatform::kNfEndpoint, ContextId(from));
      if (!now[source.value].empty())
        wrong(report, &CrashReport::n_wrong, "the successor left packets behind");
      for (std::uint32_t port = 0; port < SmallPlatform::kPorts; ++port)
        check_subsequence(before_[source.value],
                          platform_.contents(SmallPlatform::port(port), SmallPlatform::kNf),
                          report);
    }
  }
  /// Packets of `sent` that are from `source` are in its order.
  void check_subsequence(const std::vector<std::uint32_t>& source,
                         const std::vector<std::uint32_t>& sent, CrashReport& report) const {
    auto at = source.begin();
    for (const std::uint32_t packet : sent) {
      if (std::ranges::find(source, packet) == source.end()) continue;
      at = std::find(at, source.end(), packet);
      if (at == source.end()) {
        wrong(report, &CrashReport::n_wrong, fmt::format("packet {} is out of order", packet));
        return;
      }
    }
  }

  [[nodiscard]] bool is_source(std::uint32_t id) const {
    const RegionView& region = platform_.view.region;
    return id == region.fill_ring_id(SmallPlatform::kNf).value ||
           id / region.layout().n_contexts == SmallPlatform::kNfEndpoint.value;
  }

  CrashScenario scenario_;
  SmallPlatform platform_;
  Platform manager_;
  ContextPage hidden_page_{};
  std::optional<BurstLoop> loop_;
  PlannedNf nf_;
  std::atomic<Phase>* phase_ = nullptr;
  std::vector<std::byte> start_;
  Picture before_;
  Picture after_;
  /// Where recovery puts what was in the dead process' hands: the reclaimer's ring of the manager.
  const RingId manager_lost_{kManagerContext.value};
};

}  // namespace hb::test
