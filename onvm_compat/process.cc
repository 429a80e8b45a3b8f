#include "onvm_compat/process.h"

#include <fmt/format.h>
#include <poll.h>
#include <rte_errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "nf_lib/clock.h"
#include "nf_lib/idle.h"
#include "nf_lib/service_name.h"
#include "onvm_compat/flow_director.h"
#include "onvm_compat/include/onvm_pkt_common.h"
#include "onvm_compat/packet_pool.h"

struct port_info* ports = nullptr;

namespace hb::onvm {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kPortsPeriod{1000};
/// While a full msg_q keeps the listener from a socket it looks again after this time.
constexpr milliseconds kFullPoll{5};
/// An orphan's loops get this long to reach a burst boundary before the process ends anyway.
constexpr milliseconds kOrphanGrace{800};
/// A thread without a context waits so long for the loops to bring it packets.
constexpr std::uint64_t kStockWaitNs = 20'000'000;
constexpr unsigned kStockRing = 512;
constexpr unsigned kMessages = 128 * 128 - 1;

}  // namespace

Process& Process::get() {
  static Process* const process = new Process;  // the listener outlives main()
  return *process;
}

Result<void> Process::attach(const CommandLine& line, const std::string& program) {
  line_ = line;
  Result<Attachment> attachment = Attachment::open(line.prefix);
  if (!attachment) return attachment.error();
  EalOptions eal{.isolation = Isolation::kPrivate,
                 .memory_mb = line.memory_mb,
                 .cores = line.cores,
                 .lcores = line.lcores,
                 .more = {"--log-level=user*:info"}};
  eal.more.insert(eal.more.end(), line.log_levels.begin(), line.log_levels.end());
  block_stop_signals();  // of EAL's threads none is to run an NF's handler
  const Result<void> started = attachment->start_eal(program, eal);
  block_stop_signals(false);
  if (!started) return started;
  if (const auto mapped = attachment->map_packets(); !mapped) return mapped;
  attachment_.emplace(std::move(*attachment));
  packets_ = PacketTable(attachment_->view().check);
  if (const auto made = make_pools(); !made) return made;
  const std::string flows = runtime_directory(line.prefix) + "/onvm-flows";
  if (const auto director = FlowDirector::get().open(flows); !director) return director;
  refresh_ports();
  change_fd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  listener_pid_ = getpid();
  listener_ = std::thread([this] { listen(); });
  // Whoever calls exit(), in whichever thread: behind what the NF registers later.
  std::atexit([] { get().stop_listening(); });
  return {};
}

Result<void> Process::make_pools() {
  packet_pool_ = make_packet_pool(packets_.check().pool());
  message_pool_ = rte_mempool_create(_NF_MSG_POOL_NAME, kMessages, sizeof(onvm_nf_msg), 0, 0,
                                     nullptr, nullptr, nullptr, nullptr, SOCKET_ID_ANY, 0);
  stock_ = rte_ring_create("HB_FRESH_PACKETS", kStockRing, SOCKET_ID_ANY, 0);
  if (packet_pool_ == nullptr || message_pool_ == nullptr || stock_ == nullptr)
    return Error{fmt::format("the NF's pools can't be made: {}", rte_strerror(rte_errno)),
                 "give this process more memory with EAL's -m"};
  return {};
}

// --- instances ----------------------------------------------------------------------------------

Result<Instance*> Process::start_instance(const InstanceConfig& config) {
  const std::lock_guard lock(instances_change_);
  const auto free = std::find_if(instances_.begin() + 1, instances_.end(),
                                 [](const auto& entry) { return entry.load() == nullptr; });
  if (free == instances_.end()) return Error{"this process has too many NFs", ""};
  const auto slot = static_cast<Slot>(free - instances_.begin());
  auto joined = Instance::join(*this, slot, config);
  if (!joined) return joined.error();
  // Release: pairs with instance().
  free->store(joined->release(), std::memory_order_release);
  return free->load(std::memory_order_relaxed);
}

void Process::say_bye(Instance* instance) {
  const auto n =
      std::ranges::count_if(instances_, [](const auto& entry) { return entry.load() != nullptr; });
  instance->say_bye(n > 1);
}

void Process::end_instance(Instance* instance) {
  const std::lock_guard lock(instances_change_);
  say_bye(instance);
  instances_[instance->slot()].store(nullptr, std::memory_order_release);
  packets_.forget(instance->slot());
  // The listener may be looking at it just now; what is left of an instance is small.
  ended_.push_back(std::unique_ptr<Instance>(instance));
}

void Process::listen_to(Instance& /*instance*/) noexcept { wake_listener(); }

void Process::wake_listener() noexcept {
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(change_fd_, &one, sizeof(one));
}

Instance* Process::find(const onvm_nf* nf) noexcept {
  for (std::size_t slot = 1; slot < instances_.size(); ++slot) {
    Instance* const found = instance(static_cast<Slot>(slot));
    if (found != nullptr && found->nf() == nf) return found;
  }
  return nullptr;
}

Instance* Process::find_service(std::uint16_t number) noexcept {
  Instance* lowest = nullptr;
  for (std::size_t slot = 1; slot < instances_.size(); ++slot) {
    Instance* const found = instance(static_cast<Slot>(slot));
    if (found != nullptr && found->nf()->service_id == number &&
        (lowest == nullptr || found->nf()->instance_id < lowest->nf()->instance_id))
      lowest = found;
  }
  return lowest;
}

std::uint32_t Process::service_of(std::uint32_t number) noexcept {
  if (number == 0 || number >= MAX_SERVICES) return kMaxServices;
  const Registry& registry = attachment_->registry();
  const std::uint32_t known = service_of_[number].load(std::memory_order_relaxed);
  if (registry.services[known].number.load(std::memory_order_relaxed) == number) return known;
  const std::uint64_t now = monotonic_ns();
  if (now < next_service_look_.load(std::memory_order_relaxed)) return kMaxServices;
  const std::uint32_t found = find_number(registry, number);
  if (found == kMaxServices)
    next_service_look_.store(now + 1'000'000, std::memory_order_relaxed);
  else
    service_of_[number].store(found, std::memory_order_relaxed);
  return found;
}

// --- packets -------------------------------------------------------------------------------------

void Process::give_back(rte_mbuf* mbuf) noexcept {
  const std::uint32_t number = packets_.number(mbuf);
  if (number == PacketTable::kNotAPacket) return;
  // Nobody's any more: it was sent or freed before.
  if (Instance* const holder = instance(packets_.holder(number))) holder->inbox_free(mbuf);
}

bool Process::allocate(rte_mbuf** out, std::uint32_t n) {
  if (Instance* const own = Instance::current()) return own->allocate(out, n);
  if (Instance* const first = none_has_begun())
    if (const std::optional<bool> got = first->allocate_before_loop(out, n)) return *got;
  if (n > kStockRing / 2) return false;
  auto** const objects = reinterpret_cast<void**>(out);
  Idle idle;
  for (const std::uint64_t deadline = monotonic_ns() + kStockWaitNs;;) {
    if (rte_ring_dequeue_bulk(stock_, objects, n, nullptr) == n) return true;
    // Relaxed: a wish; what is brought is found in the ring.
    stock_wanted_.store(n, std::memory_order_relaxed);
    if (monotonic_ns() >= deadline) return false;
    idle.wait();
  }
}

/// @return the first instance, if none of them has begun its loop
Instance* Process::none_has_begun() noexcept {
  Instance* first = nullptr;
  for (std::size_t slot = instances_.size(); --slot > 0;) {
    Instance* const found = instance(static_cast<Slot>(slot));
    if (found == nullptr) continue;
    if (found->loop_has_begun()) return nullptr;
    first = found;
  }
  return first;
}

void Process::restock(Instance& instance) noexcept {
  if (stock_wanted_.load(std::memory_order_relaxed) == 0) return;
  const std::uint32_t wanted = stock_wanted_.exchange(0, std::memory_order_relaxed);
  std::array<rte_mbuf*, kStockRing / 2> fresh;
  if (wanted == 0 || !instance.allocate(fresh.data(), wanted)) return;
  if (rte_ring_enqueue_bulk(stock_, reinterpret_cast<void**>(fresh.data()), wanted, nullptr) == 0)
    for (std::uint32_t i = 0; i < wanted; ++i) instance.inbox_free(fresh[i]);
}

std::uint32_t Process::n_allocatable() noexcept {
  std::uint32_t n = rte_ring_count(stock_);
  for (std::size_t slot = 1; slot < instances_.size(); ++slot)
    if (const Instance* const found = instance(static_cast<Slot>(slot)))
      n += found->n_allocatable();
  return n;
}

// --- signals and the listener
// ----------------------------------------------------------------------

void Process::set_main_context(onvm_nf_local_ctx* ctx, handle_signal_func handler) noexcept {
  signal_handler_.store(handler);
  main_context_.store(ctx, std::memory_order_release);
}

void Process::on_signal(int signal) noexcept {
  if (signal != SIGINT && signal != SIGTERM) return;
  if (n_signals_.fetch_add(1) > 0) _exit(128 + signal);  // asked twice: now
  onvm_nf_local_ctx* const ctx = main_context();
  if (ctx == nullptr) return;
  rte_atomic16_set(&ctx->keep_running, 0);
  const handle_signal_func handler = signal_handler_.load();
  if (handler != nullptr && rte_atomic16_read(&ctx->nf_init_finished) != 0) handler(signal);
}

void Process::listen() {
  block_stop_signals(false);  // here, and nowhere else once the NF runs
  auto next_ports = std::chrono::steady_clock::now() + kPortsPeriod;
  while (must_listen()) {
    std::vector<pollfd> polled = {{change_fd_, POLLIN, 0}};
    std::vector<Instance*> of = {nullptr};
    bool full = false;
    for (std::size_t slot = 1; slot < instances_.size(); ++slot) {
      Instance* const found = instance(static_cast<Slot>(slot));
      if (found == nullptr || !found->is_listening()) continue;
      polled.push_back({found->control_fd(), POLLIN, 0});
      of.push_back(found);
      if (!found->has_message_room()) {
        full = true;
        continue;
      }
      polled.push_back({found->message_fd(), POLLIN, 0});
      of.push_back(found);
    }
    const auto left =
        std::chrono::duration_cast<milliseconds>(next_ports - std::chrono::steady_clock::now());
    const milliseconds wait = full ? kFullPoll : std::max(left, milliseconds(0));
    if (poll(polled.data(), polled.size(), static_cast<int>(wait.count())) > 0) {
      for (std::size_t i = 1; i < polled.size(); ++i) {
        if (polled[i].revents == 0) continue;
        if (polled[i].fd == of[i]->message_fd()) {
          of[i]->on_message();
        } else if (!of[i]->on_control() && !of[i]->has_said_bye()) {
          on_manager_gone();
          return;
        }
      }
      std::uint64_t count = 0;
      if (polled[0].revents != 0) [[maybe_unused]]
        const ssize_t got = read(change_fd_, &count, sizeof(count));
    }
    if (std::chrono::steady_clock::now() >= next_ports) {
      refresh_ports();
      next_ports = std::chrono::steady_clock::now() + kPortsPeriod;
    }
  }
}

void Process::on_manager_gone() {
  fmt::print(stderr,
             "error: the manager of prefix '{}' is gone: ending; start it and this NF again\n",
             attachment_->prefix());
  orphaned_.store(true, std::memory_order_release);
  if (onvm_nf_local_ctx* const ctx = main_context()) rte_atomic16_set(&ctx->keep_running, 0);
  for (std::size_t slot = 1; slot < instances_.size(); ++slot)
    if (Instance* const found = instance(static_cast<Slot>(slot))) found->post(MSG_STOP, nullptr);
  // A loop may be inside an NF that takes its time; nobody waits for it any more.
  const auto deadline = std::chrono::steady_clock::now() + kOrphanGrace;
  while (must_listen()) {
    const auto left =
        std::chrono::duration_cast<milliseconds>(deadline - std::chrono::steady_clock::now());
    if (left <= milliseconds(0)) _exit(1);
    pollfd change{change_fd_, POLLIN, 0};
    std::uint64_t count = 0;
    if (poll(&change, 1, static_cast<int>(left.count())) > 0) [[maybe_unused]]
      const ssize_t got = read(change_fd_, &count, sizeof(count));
  }
}

void Process::stop_listening() noexcept {
  if (!listener_.joinable() || listener_pid_ != getpid() ||
      listener_.get_id() == std::this_thread::get_id())
    return;
  stops_listening_.store(true, std::memory_order_relaxed);  // the join orders all else
  wake_listener();
  listener_.join();
}

// --- ports ---------------------------------------------------------------------------------------

bool Process::refresh_ports() {
  const std::lock_guard lock(ports_change_);
  const Registry& registry = attachment_->registry();
  if (ports == nullptr) {
    static port_info all{};
    all.num_ports = static_cast<std::uint8_t>(registry.n_ports);
    for (std::uint32_t i = 0; i < registry.n_ports; ++i) {
      all.id[i] = static_cast<std::uint8_t>(i);
      all.init[i] = 1;
      std::copy_n(registry.ports[i].mac, RTE_ETHER_ADDR_LEN, all.mac[i].addr_bytes);
    }
    ports = &all;
  }
  if (!status_socket_.open()) {
    Result<ControlSocket> socket = ControlSocket::connect(attachment_->prefix());
    if (!socket) return false;
    status_socket_ = std::move(*socket);
  }
  if (!status_socket_.send({{"op", "status"}})) return false;
  const auto reply = status_socket_.receive(kPortsPeriod);
  if (!reply || !*reply) {
    status_socket_.close();
    return false;
  }
  const auto& status = (**reply)["status"];
  if (!status.is_object() || !status.contains("ports")) return false;
  for (const auto& port : status["ports"]) {
    const auto id = port.value("id", kMaxPorts);
    if (id >= kMaxPorts) continue;
    ports->rx_stats.rx[id] = port.value("rx_packets", std::uint64_t{0});
    ports->tx_stats.tx[id] = port.value("tx_packets", std::uint64_t{0});
    ports->tx_stats.tx_drop[id] = port.value("tx_dropped", std::uint64_t{0});
  }
  return true;
}

}  // namespace hb::onvm
