// A manager's platform for fuzzing: a real packet pool and control area, no ports, no hugepages.
#pragma once

#include <fcntl.h>
#include <fmt/format.h>
#include <rte_eal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "manager/platform.h"

namespace hb::test {

inline constexpr std::uint32_t kFuzzPackets = 128;

/// Made once in a process, since DPDK takes the packet part as a heap once.
class FuzzPlatform {
 public:
  static FuzzPlatform& instance() {
    static FuzzPlatform platform;
    return platform;
  }
  Platform p;
  std::string prefix = fmt::format("fuzz{}", getpid());

 private:
  FuzzPlatform() {
    tidy_up_afterwards();
    std::vector<std::string> args = {"fuzz",
                                     "--no-huge",
                                     "-m",
                                     "64",
                                     "--no-pci",
                                     "--no-shconf",
                                     "--no-telemetry",
                                     "--lcores=0",
                                     "--log-level=*:critical"};
    std::vector<char*> argv;
    for (std::string& arg : args) argv.push_back(arg.data());
    if (rte_eal_init(static_cast<int>(argv.size()), argv.data()) < 0) die("no EAL");
    packet_meta_offset = rte_mbuf_dynfield_register(&kPacketMetaField);
    carried_word_offset = rte_mbuf_dynfield_register(&kCarriedWordField);
    RegionDemand demand;
    demand.n_contexts = 12;
    demand.n_endpoints = 12;
    demand.ring_size = 64;
    demand.fill_size = 64;
    demand.pool_size = kFuzzPackets;
    demand.n_work_groups = 2;
    demand.work_group_size = 16;
    demand.n_copy_queues = 2;
    demand.copy_records = 8;
    demand.page_bytes = 4096;
    demand.packet_bytes = packet_part_bytes(kFuzzPackets, 256, demand.page_bytes);
    const RegionLayout layout = plan_region(demand);
    void* const memory =
        mmap(reinterpret_cast<void*>(kRegionBase), layout.total_bytes, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (memory == MAP_FAILED) die("the region's addresses are taken");
    p.options.prefix = prefix;
    p.options.gpu = GpuChoice::kNone;
    p.options.drain_timeout_ms = 10;
    p.view.region = RegionView(static_cast<std::byte*>(memory), layout);
    p.view.region.format();
    auto pool = PacketPool::create(p.view.region, kFuzzPackets, 256, 0);
    if (!pool) die(pool.error().line());
    p.pool = std::move(*pool);
    p.book = std::make_unique<PacketBook>(kFuzzPackets);
    p.view.check = PacketCheck(layout, p.pool->layout());
    auto control = ControlArea::create(prefix, "/tmp");
    if (!control) die(control.error().line());
    p.control = std::move(*control);
    Registry& registry = p.control->registry();
    registry.region = layout;
    registry.pool = p.pool->layout();
    p.view.registry = &registry;
    p.view.routes = &p.control->routes();
    p.flow.n_rx_threads = 0;
    p.flow.fresh_bound = layout.ring_size / 2;
    p.tx_threads.push_back(std::make_unique<TxThread>(TxSetup{.view = p.view,
                                                              .ports = &p.ports,
                                                              .pool = p.pool.get(),
                                                              .book = p.book.get(),
                                                              .flow = &p.flow,
                                                              .busy = true}));
    p.totals = std::make_unique<RingTotals>(p.view.region);
  }
  /// libFuzzer ends its process without destructors: a child waits for that, and removes the files.
  void tidy_up_afterwards() const {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) die("no pipe");
    const pid_t child = fork();
    if (child < 0) die("no process");
    if (child != 0) {
      close(ends[0]);
      return;  // the other end closes with this process, however it ends
    }
    close(ends[1]);
    setsid();  // Ctrl-C is for the fuzzer
    char none;
    while (read(ends[0], &none, 1) < 0 && errno == EINTR) {
    }
    std::error_code ignored;
    std::filesystem::remove_all("/run/hummingbird/" + prefix, ignored);
    std::filesystem::remove("/run/hummingbird", ignored);  // only when no other prefix is there
    _exit(0);
  }
  [[noreturn]] static void die(const std::string& why) {
    std::fprintf(stderr, "fuzz: %s\n", why.c_str());
    std::exit(1);
  }
};

/// Takes numbers and pieces off the front of the fuzzer's input; zeros when it is used up.
class Bytes {
 public:
  Bytes(const std::uint8_t* data, std::size_t size) : data_(data), size_(size) {}
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
  template <typename T>
  T take() noexcept {
    T value{};
    const std::size_t n = size_ < sizeof(T) ? size_ : sizeof(T);
    std::memcpy(&value, data_, n);
    skip(n);
    return value;
  }
  std::string take_text(std::size_t n) {
    n = size_ < n ? size_ : n;
    std::string text(reinterpret_cast<const char*>(data_), n);
    skip(n);
    return text;
  }

 private:
  void skip(std::size_t n) noexcept {
    data_ += n;
    size_ -= n;
  }
  const std::uint8_t* data_;
  std::size_t size_;
};

}  // namespace hb::test
