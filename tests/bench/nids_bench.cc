// One core: what nids costs beyond the search itself. Baseline: Hyperscan alone over each packet's
// payload, for one content of every rule, finding what it finds. Candidate: the CPU twin's
// judgement (decode, search, rules in full). The GPU twin's search is nids_gpu_bench's.
//   nids_bench [--quick] [RULE FILE]...
//   nids_bench --json --frames CAPTURE RULE FILE...   over these packets; rates of whole frames
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#define HB_KERNEL_ON_HOST
#include "kernels/nids.cl"
#include "nfs/nids/aho_corasick.h"
#include "nfs/nids/evaluator.h"
#include "tests/bench/nids_loads.h"
#include "tests/kernels/one_packet.h"

namespace hb::nids {
namespace {

/// The thread's own time: other processes on the core do not count.
struct Clock {
  using duration = std::chrono::nanoseconds;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<Clock>;
  static constexpr bool is_steady = true;
  static time_point now() noexcept {
    timespec t{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return time_point(std::chrono::seconds(t.tv_sec) + std::chrono::nanoseconds(t.tv_nsec));
  }
};

struct Effort {
  int pairs = 11;
  double seconds = 0.02;  ///< each timing, at least
};

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// --- both sides ---------------------------------------------------------------------------------
/// Hyperscan over the payloads with the contents of all rules whose header may fit.
struct Alone {
  Matcher tcp, udp, icmp;
  MatcherScratch scratch;

  static Matcher compile(const RuleSet& rules, RuleProtocol protocol) {
    std::vector<Pattern> patterns;
    for (const Rule& rule : rules.rules) {
      if (!fast_content_place(rule)) continue;
      if (rule.header.protocol != protocol && rule.header.protocol != RuleProtocol::kIp) continue;
      const Content& content = fast_content(rule);
      patterns.push_back(
          {fast_bytes(content).substr(0, Matcher::kMaxPatternBytes), content.nocase});
    }
    return *std::move(Matcher::compile(patterns));
  }
  explicit Alone(const RuleSet& rules)
      : tcp(compile(rules, RuleProtocol::kTcp)),
        udp(compile(rules, RuleProtocol::kUdp)),
        icmp(compile(rules, RuleProtocol::kIcmp)) {
    for (const Matcher* matcher : {&tcp, &udp, &icmp}) (void)matcher->grow(scratch);
  }
};

struct Prepared {
  std::span<const std::uint8_t> payload;
  const Matcher* matcher;
};

template <int Copy>
[[gnu::noinline]] std::uint64_t scan_alone(const std::vector<Prepared>& packets,
                                           const MatcherScratch& scratch) {
  std::uint64_t n = 0;
  auto count = [&n](std::uint32_t) { ++n; };
  for (const Prepared& packet : packets) packet.matcher->scan(packet.payload, scratch, count);
  return n;
}

[[gnu::noinline]] std::uint64_t judge(const Frames& frames, const Evaluator& evaluator,
                                      EvaluatorScratch& scratch) {
  std::uint64_t n = 0;
  for (const test::Frame& frame : frames) {
    n += evaluator.evaluate(frame, decode_packet(frame), scratch).size();
  }
  return n;
}

std::uint64_t count_marked(const Frames& frames, const u8* table) {
  std::uint64_t n = 0;
  for (const test::Frame& frame : frames) {
    HbPacket packet = test::one_packet(frame);
    n += hb_nids_suspect(&packet, table);
  }
  return n;
}

struct Quartiles {
  double low, median, high;
};
Quartiles quartiles(std::vector<double> values) {
  std::ranges::sort(values);
  const auto at = [&](double part) {
    return values[static_cast<std::size_t>(part * static_cast<double>(values.size() - 1))];
  };
  return {at(0.25), at(0.5), at(0.75)};
}

void report(const char* name, const Effort& effort, double bits, const std::function<void()>& base,
            const std::function<void()>& candidate) {
  const auto timed = [&](const std::function<void()>& run) {
    std::uint32_t n = 0;
    const auto start = Clock::now();
    do {
      run();
      ++n;
    } while (seconds_since(start) < effort.seconds);
    return seconds_since(start) / n;
  };
  std::vector<double> ratios, base_rates, rates;
  for (int pair = 0; pair < effort.pairs; ++pair) {
    double a = 0;
    if (pair % 2 == 0) a = timed(base);
    const double b = timed(candidate);
    if (pair % 2 != 0) a = timed(base);
    ratios.push_back(a / b);
    base_rates.push_back(bits / a / 1e9);
    rates.push_back(bits / b / 1e9);
  }
  const Quartiles ratio = quartiles(ratios);
  std::printf("  %-34s %5.2fx [%4.2f .. %4.2f]   %6.2f -> %6.2f Gbps\n", name, ratio.median,
              ratio.low, ratio.high, quartiles(base_rates).median, quartiles(rates).median);
  std::fflush(stdout);
}

void measure(const char* title, const RuleSet& set, const Effort& effort, std::mt19937& rng,
             const Frames& captured) {
  auto rules = std::make_shared<const RuleSet>(set);
  const auto start = Clock::now();
  const auto evaluator = Evaluator::create(rules);
  const double compile_s = seconds_since(start);
  const auto table_start = Clock::now();
  const std::vector<std::byte> table = *build_nids_table(*rules);
  const double table_s = seconds_since(table_start);
  struct alignas(64) Line {
    u8 bytes[64];
  };
  std::vector<Line> aligned((table.size() + 63) / 64);
  std::memcpy(aligned.data(), table.data(), table.size());
  const auto* const device = reinterpret_cast<const u8*>(aligned.data());
  std::printf("%s: %zu rules; compiled in %.2f s, device table %.1f MB in %.2f s\n", title,
              rules->rules.size(), compile_s, static_cast<double>(table.size()) / 1e6, table_s);
  const Alone alone(*rules);
  auto scratch = *std::move((*evaluator)->make_scratch());
  const std::pair<const char*, Frames> sets[] = {{"random bytes", random_frames(rng)},
                                                 {"HTTP-like", http_frames(rng)},
                                                 {"captured", captured},
                                                 {"every packet hits", hitting_frames(set, rng)}};
  for (const auto& [name, frames] : sets) {
    std::vector<Prepared> prepared;
    double bits = 0;
    for (const test::Frame& frame : frames) {
      const DecodedPacket packet = decode_packet(frame);
      const Matcher* const matcher = packet.l4 == L4Kind::kTcp   ? &alone.tcp
                                     : packet.l4 == L4Kind::kUdp ? &alone.udp
                                                                 : &alone.icmp;
      prepared.push_back(
          {std::span(frame).subspan(packet.l4_payload_offset, packet.l4_payload_length), matcher});
      bits += 8.0 * packet.l4_payload_length;
    }
    const std::uint64_t hits = scan_alone<0>(prepared, alone.scratch);
    const std::uint64_t tried_before = scratch.n_tried();
    const std::uint64_t alerts = judge(frames, **evaluator, scratch);
    std::printf(
        " %s: %zu packets, %.2f contents found, %.2f rules tried, %.2f alerts a packet; "
        "%.0f %% marked by the device\n",
        name, frames.size(), static_cast<double>(hits) / static_cast<double>(frames.size()),
        static_cast<double>(scratch.n_tried() - tried_before) / static_cast<double>(frames.size()),
        static_cast<double>(alerts) / static_cast<double>(frames.size()),
        100.0 * static_cast<double>(count_marked(frames, device)) /
            static_cast<double>(frames.size()));
    const auto base = [&] { scan_alone<0>(prepared, alone.scratch); };
    report("Hyperscan alone, against its copy", effort, bits, base,
           [&] { scan_alone<1>(prepared, alone.scratch); });
    report("judgement of the CPU twin", effort, bits, base,
           [&] { judge(frames, **evaluator, scratch); });
  }
}

/// The search alone and the judgement, in turn, over a capture's packets: one JSON object in an
/// array.
int print_json(const char* capture, const std::vector<std::string>& paths) {
  const auto rules = load_rule_files(paths);
  if (!rules) {
    std::fprintf(stderr, "nids_bench: %s\n", rules.error().line().c_str());
    return 1;
  }
  const Frames frames = test::read_capture(capture);
  if (frames.empty()) {
    std::fprintf(stderr, "nids_bench: '%s' has no packets\n", capture);
    return 1;
  }
  const auto shared = std::make_shared<const RuleSet>(*rules);
  const auto evaluator = Evaluator::create(shared);
  auto scratch = *std::move((*evaluator)->make_scratch());
  const Alone alone(*shared);
  std::vector<Prepared> prepared;
  double bytes = 0;
  for (const test::Frame& frame : frames) {
    const DecodedPacket packet = decode_packet(frame);
    prepared.push_back(
        {std::span(frame).subspan(packet.l4_payload_offset, packet.l4_payload_length),
         packet.l4 == L4Kind::kTcp ? &alone.tcp : &alone.udp});
    bytes += static_cast<double>(frame.size());
  }
  const auto rate = [&](const auto& work) {  // frames a second
    std::uint32_t n = 0;
    const auto start = Clock::now();
    do {
      work();
      ++n;
    } while (seconds_since(start) < 0.03);
    return static_cast<double>(frames.size()) * n / seconds_since(start);
  };
  std::vector<double> search, judgement;
  for (int i = 0; i < 3; ++i) {
    search.push_back(rate([&] { scan_alone<0>(prepared, alone.scratch); }));
    judgement.push_back(rate([&] { judge(frames, **evaluator, scratch); }));
  }
  const double mean = bytes / static_cast<double>(frames.size());
  const double pps = quartiles(search).median;
  std::printf(
      "[{\"bytes\": %.0f, \"mpps\": %.4f, \"gbps\": %.4f, \"nf_gbps\": %.4f, \"rules\": %zu}]\n",
      mean, pps * 1e-6, pps * mean * 8e-9, quartiles(judgement).median * mean * 8e-9,
      shared->rules.size());
  return 0;
}

int run(int argc, char** argv) {
  Effort effort;
  std::vector<std::string> paths;
  bool quick = false;
  for (int i = 1; i < argc; ++i) {
    if (std::string_view(argv[i]) == "--quick") {
      quick = true;
      effort = {.pairs = 3, .seconds = 0.001};
    } else {
      paths.emplace_back(argv[i]);
    }
  }
#ifndef NDEBUG
  std::fprintf(stderr, "nids_bench: an unoptimised build measures nothing\n");
  return 1;
#endif
  if (argc > 4 && std::string_view(argv[1]) == "--json" && std::string_view(argv[2]) == "--frames")
    return print_json(argv[3], {argv + 4, argv + argc});
  if (paths.empty()) paths = rule_files();
  const auto all = load_rule_files(paths);
  if (!all) {
    std::fprintf(stderr, "nids_bench: %s\n", all.error().line().c_str());
    return 1;
  }
  std::mt19937 rng(147);
  const Frames captured = captured_frames();
  measure("147 rules", first_rules(*all, 147), effort, rng, captured);
  measure("all rules", *all, effort, rng, captured);
  measure("made-up rules", made_up_rules(quick ? 2000 : 30'000, rng), effort, rng, captured);
  return 0;
}

}  // namespace
}  // namespace hb::nids

int main(int argc, char** argv) { return hb::nids::run(argc, argv); }
