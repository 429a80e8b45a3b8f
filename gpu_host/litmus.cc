#include "gpu_host/litmus.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstring>

#include "gpu_host/child_process.h"
#include "gpu_host/shared_word.h"

#define HB_LITMUS_LAYOUT_ONLY
#include "kernels/litmus.cl"

namespace hb {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds kPeerLimit{20000};  ///< for the other process' whole life
constexpr milliseconds kStartLimit{1500};  ///< for the kernel to begin
constexpr milliseconds kTurnLimit{1000};   ///< for one answer
constexpr milliseconds kAllLimit{1500};    ///< enough turns, and this long, is enough

/// Waits until the word has the value; yields, as the device may be this very core.
bool await(u32& word, u32 value, milliseconds limit) {
  const auto end = Clock::now() + limit;
  for (std::uint32_t spins = 1; load_word(word) != value; ++spins) {
    if (spins % 256 != 0) continue;
    if (Clock::now() >= end) return false;
    sched_yield();
  }
  return true;
}

int say(int status, const char* text, std::uint32_t turn) {
  std::printf(text, turn);
  std::printf("\n");
  return status;
}

int ask(HbLitmus* litmus) {
  if (!await(litmus->started.value, 1, kStartLimit))
    return say(1, "another process never saw the kernel's first word", 0);
  const auto begin = Clock::now();
  std::uint32_t random = 2463534242u;  // xorshift32, Marsaglia 2003: any values will do
  u32 question[HB_LITMUS_WORDS];
  std::uint32_t turn = 1;
  for (; turn <= kLitmusTurns; ++turn) {
    for (u32& word : question) {
      random ^= random << 13;
      random ^= random >> 17;
      random ^= random << 5;
      word = random;
    }
    std::memcpy(litmus->question, question, sizeof(question));
    store_word(litmus->request.value, turn);  // pairs with the kernel's acquire load
    if (!await(litmus->answer.value, turn, kTurnLimit))
      return say(1, "the running kernel did not answer word %u", turn);
    for (std::uint32_t i = 0; i < HB_LITMUS_WORDS; ++i) {
      if (litmus->reply[i] != HB_LITMUS_REPLY(question[i], turn))
        return say(1, "the answer to word %u did not fit what was asked", turn);
    }
    if (turn >= kLitmusLeastTurns && Clock::now() - begin > kAllLimit) break;
  }
  return say(0, "%u words answered", turn > kLitmusTurns ? kLitmusTurns : turn);
}

}  // namespace

std::vector<std::string> litmus_peer_args(const std::string& region_path,
                                          const RegionLayout& layout) {
  return {"--litmus-peer", region_path, std::to_string(layout.litmus)};
}

int run_litmus_peer(const std::string& region_path, std::uint64_t offset) {
  const int fd = open(region_path.c_str(), O_RDWR | O_CLOEXEC);
  if (fd < 0) return say(1, "the region's file can't be opened by another process", 0);
  // A hugetlbfs file maps whole huge pages, and says how large they are.
  struct statfs info {};
  fstatfs(fd, &info);
  const auto page = static_cast<std::uint64_t>(info.f_bsize > 4096 ? info.f_bsize : 4096);
  const std::uint64_t first = offset / page * page;
  const std::uint64_t bytes = (offset + sizeof(HbLitmus) - first + page - 1) / page * page;
  void* const base =
      mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, static_cast<off_t>(first));
  close(fd);
  if (base == MAP_FAILED) return say(1, "the region's file can't be mapped by another process", 0);
  const int status = ask(reinterpret_cast<HbLitmus*>(static_cast<char*>(base) + (offset - first)));
  munmap(base, bytes);
  return status;
}

Result<void> litmus_test(const std::string& helper, const std::string& region_path,
                         const RegionView& region, const std::function<Result<void>()>& launch,
                         const std::function<Result<void>()>& join) {
  auto* const litmus = reinterpret_cast<HbLitmus*>(region.litmus());
  std::memset(litmus, 0, sizeof(HbLitmus));
  Result<ChildProcess> peer =
      ChildProcess::start(helper, litmus_peer_args(region_path, region.layout()));
  if (!peer) return peer.error();
  const Result<void> launched = launch();
  const Result<std::string> said =
      launched ? peer->wait(kPeerLimit) : Result<std::string>(launched.error());
  store_word(litmus->quit.value, 1);  // and if the kernel doesn't see it, its poll budget ends it
  const Result<void> joined = join();
  if (!said) return Error{"litmus test: " + said.error().what, ""};
  return joined;
}

}  // namespace hb
