// One core sealing with ipsec's engine against intel-ipsec-mb alone: the same bytes, keys, bursts
// and buffers. Both copy a whole burst into its buffers first, as sealing overwrites it and packets
// come in bursts. The baseline gets its padding and headers ready made; decoding, policy, limits,
// numbers, IVs and headers are the engine's own. The last column: ns of the library, and what the
// engine adds.
//   ipsec_bench [--quick] [TRANSFORM [BYTES]]   all of them, or one: gcm-128 64
//   ipsec_bench --json [--sizes BYTES,...]   AES-128-CBC and HMAC-SHA1-96 alone, the library's rate
//   first
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <sstream>
#include <string>
#include <vector>

#include "nf_lib/clock.h"
#include "tests/unit/ipsec_world.h"

namespace hb::bench {
namespace {

using namespace ipsec;
using namespace test;

constexpr std::uint32_t kHead = 128;
constexpr std::size_t kBurst = 32;
constexpr std::size_t kPackets = 128;  // their buffers stay in the second level cache

struct Run {
  Run(const ReferenceSa& reference, std::size_t frame_bytes)
      : sa(reference),
        engine(sa.command("192.0.2.1", "192.0.2.2", ""), one_way(Direction::kEncrypt), block),
        crypto(*Crypto::make()) {
    const auto file = parse_sa_file("b", sa.command("192.0.2.1", "192.0.2.2", ""));
    crypto.expand(file->sas[0], keys);
    wire = engine.engine->table().sas()[0].wire;
    std::mt19937 rng(1);
    for (std::size_t i = 0; i < kPackets; ++i) {
      frames.push_back(in_ethernet(ip4_packet(frame_bytes - 14, rng)));
      buffers.emplace_back(kHead + frame_bytes + 128);
    }
    sealed_bytes = static_cast<std::uint32_t>(with_trailer(sa, Bytes(frame_bytes - 14), 4).size());
  }

  void copy_in(std::size_t at) {
    for (std::size_t i = at; i < at + kBurst; ++i)
      std::memcpy(buffers[i].data() + kHead, frames[i].data(), frames[i].size());
  }

  void with_engine() {
    for (std::size_t at = 0; at < kPackets; at += kBurst) {
      std::array<Frame, kBurst> views;
      std::array<Outcome, kBurst> outcomes;
      copy_in(at);
      for (std::size_t k = 0; k < kBurst; ++k) {
        Bytes& buffer = buffers[at + k];
        views[k] = {buffer.data(), static_cast<std::uint32_t>(buffer.size()), kHead,
                    static_cast<std::uint32_t>(frames[at + k].size())};
      }
      engine.engine->process(views, outcomes);
    }
  }

  /// Nothing but the library: jobs whose fields are all known.
  void with_library() {
    const std::uint32_t before = HB_ESP_HEADER_BYTES + wire.iv_bytes;
    IMB_MGR* const manager = crypto.manager();
    for (std::size_t at = 0; at < kPackets; at += kBurst) {
      std::array<IMB_JOB*, kBurst> jobs;
      copy_in(at);
      if (!sa.gcm && IMB_GET_NEXT_BURST(manager, kBurst, jobs.data()) != kBurst) std::abort();
      for (std::size_t k = 0; k < kBurst; ++k) {
        std::uint8_t* const esp = buffers[at + k].data() + kHead + 14 - before;
        if (sa.gcm) {
          gcm_context_data context;
          auto* const seal = sa.cipher_key.size() == 16 ? manager->gcm128_enc : manager->gcm256_enc;
          seal(&keys.gcm, &context, esp + before, esp + before, sealed_bytes, iv.data(), esp, 8,
               esp + before + sealed_bytes, 16);
          continue;
        }
        IMB_JOB& job = *jobs[k];
        job.enc_keys = keys.encrypt;
        job.dec_keys = keys.decrypt;
        job.key_len_in_bytes = keys.key_bytes;
        job.src = esp;
        job.dst = esp + before;
        job.cipher_start_src_offset_in_bytes = before;
        job.msg_len_to_cipher_in_bytes = sealed_bytes;
        job.hash_start_src_offset_in_bytes = 0;
        job.msg_len_to_hash_in_bytes = before + sealed_bytes;
        job.iv = esp + HB_ESP_HEADER_BYTES;
        job.iv_len_in_bytes = 16;
        job.auth_tag_output = esp + before + sealed_bytes;
        job.auth_tag_output_len_in_bytes = wire.icv_bytes;
        job.u.HMAC._hashed_auth_key_xor_ipad = keys.hmac_inner;
        job.u.HMAC._hashed_auth_key_xor_opad = keys.hmac_outer;
        job.cipher_mode = IMB_CIPHER_CBC;
        job.cipher_direction = IMB_DIR_ENCRYPT;
        job.hash_alg = sa.sha256 ? IMB_AUTH_HMAC_SHA_256 : IMB_AUTH_HMAC_SHA_1;
        job.chain_order = IMB_ORDER_CIPHER_HASH;
      }
      if (sa.gcm) continue;
      std::uint32_t done = IMB_SUBMIT_BURST_NOCHECK(manager, kBurst, jobs.data());
      while (done < kBurst) done += IMB_FLUSH_BURST(manager, kBurst - done, jobs.data());
    }
  }

  ReferenceSa sa;
  StateBlock block;
  EngineUnderTest engine;
  Crypto crypto;
  SaKeys keys{};
  HbEspSa wire{};
  std::vector<Bytes> frames, buffers;
  std::array<std::uint8_t, 12> iv{};
  std::uint32_t sealed_bytes = 0;
};

double seconds_of(const std::function<void()>& work, int repeats) {
  // The thread's own time: a core is what is measured, whoever else wants it.
  const std::uint64_t start = clock_ns(CLOCK_THREAD_CPUTIME_ID);
  for (int i = 0; i < repeats; ++i) work();
  return static_cast<double>(clock_ns(CLOCK_THREAD_CPUTIME_ID) - start) / 1e9;
}

struct Compared {
  std::vector<double> ratios, rates, library_rates;  ///< sorted; Mpps
};
double at(const std::vector<double>& sorted, std::size_t quarter) {
  return sorted[(sorted.size() - 1) * quarter / 4];
}

Compared compare(const char* name, const ReferenceSa& sa, std::size_t bytes, int pairs,
                 double slice) {
  Run run(sa, bytes);
  const auto library = [&] { run.with_library(); };
  const auto engine = [&] { run.with_engine(); };
  engine();  // equal results first: OpenSSL opens what is timed
  const Bytes& first = run.buffers[0];
  const std::size_t front = 20 + HB_ESP_HEADER_BYTES + sa.iv_bytes();
  const auto esp = first.begin() + static_cast<std::ptrdiff_t>(kHead + 14 + 20 - front);
  const Bytes packet(
      esp, esp + static_cast<std::ptrdiff_t>(front - 20 + run.sealed_bytes + sa.icv_bytes()));
  const Bytes inner(run.frames[0].begin() + 14, run.frames[0].end());
  const auto opened = reference_open_raw(sa, 1, packet);
  if (!opened || *opened != with_trailer(sa, inner, 4)) {
    std::fprintf(stderr, "%s: what the engine seals is wrong\n", name);
    std::exit(1);
  }
  const int repeats = std::max(1, static_cast<int>(slice / seconds_of(library, 20) * 20));
  Compared result;
  const double packets = static_cast<double>(kPackets) * repeats / 1e6;
  for (int i = 0; i < pairs; ++i) {
    const double a = seconds_of(library, repeats);
    const double b = seconds_of(engine, repeats);
    result.ratios.push_back(a / b);
    result.rates.push_back(packets / b);
    result.library_rates.push_back(packets / a);
  }
  std::ranges::sort(result.ratios);
  std::ranges::sort(result.rates);
  std::ranges::sort(result.library_rates);
  return result;
}

double gbps(double mpps, std::size_t bytes) { return mpps * static_cast<double>(bytes) * 8 / 1e3; }

void report(const char* name, std::size_t bytes, const Compared& c) {
  const double ratio = at(c.ratios, 2);
  const double library_ns = 1e3 / at(c.library_rates, 2);
  std::printf(
      "%-16s %5zu B  %.2fx  [%.2f .. %.2f]  %zu pairs  %7.3f Mpps  %7.2f Gbps  %6.1f + %.1f ns\n",
      name, bytes, ratio, at(c.ratios, 1), at(c.ratios, 3), c.ratios.size(), at(c.rates, 2),
      gbps(at(c.rates, 2), bytes), library_ns, library_ns * (1 / ratio - 1));
}

/// One JSON array: of each size the library's rate and that of the NF's engine around it.
int print_json(const ReferenceSa& sa, const std::string& sizes) {
  std::stringstream in(sizes);
  const char* before = "[";
  for (std::string size; std::getline(in, size, ',');) {
    const std::size_t bytes = std::strtoul(size.c_str(), nullptr, 10);
    if (bytes < 64 || bytes > 9000) {
      std::fprintf(stderr, "ipsec_bench: size '%s' is out of range: give 64 to 9000\n",
                   size.c_str());
      return 1;
    }
    const Compared c = compare("json", sa, bytes, 3, 0.02);
    std::printf("%s{\"bytes\": %zu, \"mpps\": %.4f, \"gbps\": %.4f, \"nf_gbps\": %.4f}", before,
                bytes, at(c.library_rates, 2), gbps(at(c.library_rates, 2), bytes),
                gbps(at(c.rates, 2), bytes));
    before = ", ";
  }
  std::printf("]\n");
  return 0;
}

}  // namespace
}  // namespace hb::bench

int main(int argc, char** argv) {
  using namespace hb::bench;
#ifndef __OPTIMIZE__
  std::fprintf(stderr, "ipsec_bench: built without optimisation, figures would mean nothing\n");
  return 1;
#endif
  std::vector<std::string> args(argv + 1, argv + argc);
  const auto sas = hb::test::all_transforms(false);
  if (!args.empty() && args[0] == "--json")
    return print_json(sas[0], args.size() > 2 && args[1] == "--sizes" ? args[2] : "64,1472");
  const bool quick = !args.empty() && args[0] == "--quick";
  if (quick) args.erase(args.begin());
  const int pairs = quick ? 3 : 21;
  const double slice = quick ? 0.005 : 0.05;
  const char* const names[] = {"cbc-128-sha1", "cbc-256-sha256", "gcm-128", "gcm-256"};
  for (std::size_t i = 0; i < 4; ++i) {
    if (!args.empty() && args[0] != names[i]) continue;
    for (const std::size_t bytes : {64, 128, 256, 512, 1024, 1472}) {
      if (args.size() > 1 && args[1] != std::to_string(bytes)) continue;
      report(names[i], bytes, compare(names[i], sas[i], bytes, pairs, slice));
    }
  }
}
